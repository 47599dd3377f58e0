package beampcc;

import java.io.FileNotFoundException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.runners.flink.FlinkPipelineOptions;
import org.apache.beam.runners.flink.FlinkPipelineRunner;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.Message;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.Struct;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.util.JsonFormat;

/**
 * Runs the pipeline of a job jar that was uploaded to a session cluster whose lib folder holds this bundle.
 *
 * <p>Beam's own entry class, FlinkPipelineRunner, looks for the pipeline beside itself, so each uploaded jar would have to hold
 * the whole runner: 90 MB sent with every job, and its classes leaked with every job. This one looks in the uploaded jar.
 */
public final class SessionJob {
  private static final String PIPELINE = "BEAM-PIPELINE/pipeline/pipeline.json";
  private static final String OPTIONS = "BEAM-PIPELINE/pipeline/pipeline-options.json";

  private SessionJob() {}

  public static void main(String[] arguments) throws Exception {
    FileSystems.setDefaultPipelineOptions(PipelineOptionsFactory.create());
    RunnerApi.Pipeline.Builder pipeline = RunnerApi.Pipeline.newBuilder();
    Struct.Builder options = Struct.newBuilder();
    read(PIPELINE, pipeline);
    read(OPTIONS, options);
    FlinkPipelineOptions flink =
        PipelineOptionsTranslation.fromProto(options.build()).as(FlinkPipelineOptions.class);
    JobInfo job =
        JobInfo.create(
            flink.getJobName() + "_" + UUID.randomUUID(),
            flink.getJobName(),
            "__no_artifacts_staged__",
            PipelineOptionsTranslation.toProto(flink));
    new FlinkPipelineRunner(flink, null, List.of()).run(pipeline.build(), job);
  }

  private static void read(String name, Message.Builder into) throws Exception {
    try (InputStream found = Thread.currentThread().getContextClassLoader().getResourceAsStream(name)) {
      if (found == null) {
        throw new FileNotFoundException(name + " is not in the uploaded jar");
      }
      JsonFormat.parser().ignoringUnknownFields().merge(new InputStreamReader(found, StandardCharsets.UTF_8), into);
    }
  }
}
