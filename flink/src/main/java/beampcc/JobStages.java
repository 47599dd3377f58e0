package beampcc;

import java.util.Map;
import org.apache.beam.model.pipeline.v1.RunnerApi.StandardEnvironments;
import org.apache.beam.runners.fnexecution.control.DefaultJobBundleFactory;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.JobBundleFactory;
import org.apache.beam.runners.fnexecution.control.StageBundleFactory;
import org.apache.beam.runners.fnexecution.environment.DockerEnvironmentFactory;
import org.apache.beam.runners.fnexecution.environment.ProcessEnvironmentFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.util.construction.BeamUrns;
import org.apache.beam.sdk.util.construction.PipelineOptionsTranslation;
import org.apache.beam.sdk.util.construction.graph.ExecutableStage;

/** The stages of one job, as Beam's DefaultExecutableStageContext has them, with {@link WatchedWorkers} for EXTERNAL environments. */
public final class JobStages implements ExecutableStageContext, AutoCloseable {
  private final JobBundleFactory bundles;

  /** Starts the services that workers connect to. */
  public JobStages(JobInfo job) {
    PipelineOptions options = PipelineOptionsTranslation.fromProto(job.pipelineOptions());
    bundles =
        DefaultJobBundleFactory.create(
            job,
            Map.of(
                BeamUrns.getUrn(StandardEnvironments.Environments.EXTERNAL), new WatchedWorkers(),
                BeamUrns.getUrn(StandardEnvironments.Environments.PROCESS), new ProcessEnvironmentFactory.Provider(options),
                BeamUrns.getUrn(StandardEnvironments.Environments.DOCKER), new DockerEnvironmentFactory.Provider(options)));
  }

  @Override
  public StageBundleFactory getStageBundleFactory(ExecutableStage stage) {
    return bundles.forStage(stage);
  }

  @Override
  public void close() throws Exception {
    bundles.close();
  }
}
