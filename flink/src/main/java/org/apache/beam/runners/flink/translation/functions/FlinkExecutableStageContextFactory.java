package org.apache.beam.runners.flink.translation.functions;

import beampcc.ProgressingStages;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.apache.beam.runners.fnexecution.control.DefaultExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ReferenceCountingExecutableStageContextFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;

/**
 * Takes the place of Beam's class of this name, which the bundle leaves out: stages tell their progress.
 *
 * <p>As with Beam's, a job's Python workers are kept for a while (environment_cache_millis) after a stage ends, which is sound as
 * long as this class is loaded by the cluster and not by the job: it lies in lib/.
 */
public final class FlinkExecutableStageContextFactory implements ExecutableStageContext.Factory {
  private static final FlinkExecutableStageContextFactory INSTANCE = new FlinkExecutableStageContextFactory();
  private static final ConcurrentMap<String, ExecutableStageContext.Factory> OF_JOBS = new ConcurrentHashMap<>();

  private FlinkExecutableStageContextFactory() {}

  public static FlinkExecutableStageContextFactory getInstance() {
    return INSTANCE;
  }

  @Override
  public ExecutableStageContext get(JobInfo job) {
    return OF_JOBS
        .computeIfAbsent(
            job.jobId(),
            id ->
                ReferenceCountingExecutableStageContextFactory.create(
                    of -> new ProgressingStages(DefaultExecutableStageContext.create(of)), stage -> false))
        .get(job);
  }
}
