package org.apache.beam.runners.flink.translation.functions;

import beampcc.JobStages;
import beampcc.ProgressingStages;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ReferenceCountingExecutableStageContextFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;

/**
 * Takes the place of Beam's class of this name, which the bundle leaves out: stages tell their progress, and dead workers are
 * forgotten.
 *
 * <p>As with Beam's, a job's Python workers are kept for a while (environment_cache_millis) after a stage ends, which is sound as
 * long as this class is loaded by the cluster and not by the job: it lies in lib/. Beam's would keep them even if they are dead, and
 * each further attempt at the job would fail on them.
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
    return OF_JOBS.computeIfAbsent(job.jobId(), FlinkExecutableStageContextFactory::ofJob).get(job);
  }

  /** Once one of its bundles fails, the next attempt gets another: new workers. */
  private static ExecutableStageContext.Factory ofJob(String job) {
    AtomicReference<ExecutableStageContext.Factory> made = new AtomicReference<>();
    made.set(
        ReferenceCountingExecutableStageContextFactory.create(
            of -> new ProgressingStages(new JobStages(of), () -> OF_JOBS.remove(job, made.get())),
            stage -> false));
    return made.get();
  }
}
