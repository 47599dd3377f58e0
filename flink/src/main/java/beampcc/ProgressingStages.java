package beampcc;

import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.InstructionRequest;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleProgressRequest;
import org.apache.beam.runners.fnexecution.control.BundleCheckpointHandler;
import org.apache.beam.runners.fnexecution.control.BundleFinalizationHandler;
import org.apache.beam.runners.fnexecution.control.BundleProgressHandler;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.InstructionRequestHandler;
import org.apache.beam.runners.fnexecution.control.OutputReceiverFactory;
import org.apache.beam.runners.fnexecution.control.ProcessBundleDescriptors.ExecutableProcessBundleDescriptor;
import org.apache.beam.runners.fnexecution.control.RemoteBundle;
import org.apache.beam.runners.fnexecution.control.StageBundleFactory;
import org.apache.beam.runners.fnexecution.control.TimerReceiverFactory;
import org.apache.beam.runners.fnexecution.state.StateRequestHandler;
import org.apache.beam.sdk.fn.data.FnDataReceiver;
import org.apache.beam.sdk.util.construction.Timer;
import org.apache.beam.sdk.util.construction.graph.ExecutableStage;
import org.apache.beam.sdk.values.KV;

/**
 * The stages of a job, whose workers are asked once a second how far they are.
 *
 * <p>In a batch job a bundle is all that a slot does of a stage, and Beam's runner learns its counters when it ends: for minutes a
 * person would see zeros in Flink's UI.
 */
public final class ProgressingStages implements ExecutableStageContext {
  private static final long SECONDS = 1;
  private static final AtomicLong REQUESTS = new AtomicLong();
  private static final ScheduledExecutorService TICKER =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "pcc-bundle-progress");
            thread.setDaemon(true);
            return thread;
          });

  private final ExecutableStageContext stages;
  private final Runnable onLostWorker;

  /** Wraps `stages`; `onLostWorker` is called when a bundle loses its worker, perhaps more than once. */
  public ProgressingStages(ExecutableStageContext stages, Runnable onLostWorker) {
    this.stages = stages;
    this.onLostWorker = onLostWorker;
  }

  /**
   * A worker that says what is wrong is alive, and so is that of a task that Flink interrupts. They are kept: a new worker that
   * fails before it has opened its data channel is waited for by the runner for three minutes.
   */
  private static void tell(Throwable error, Runnable onLostWorker) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      boolean said = cause.getMessage() != null && cause.getMessage().contains("Error received from SDK harness");
      if (said || cause instanceof InterruptedException) {
        return;
      }
    }
    onLostWorker.run();
  }

  @Override
  public StageBundleFactory getStageBundleFactory(ExecutableStage stage) {
    try {
      return new Stage(stages.getStageBundleFactory(stage), onLostWorker);
    } catch (RuntimeException error) { // its worker did not start
      tell(error, onLostWorker);
      throw error;
    }
  }

  @Override
  public void close() throws Exception {
    stages.close();
  }

  private static final class Stage implements StageBundleFactory {
    private final StageBundleFactory stage;
    private final Runnable onLostWorker;

    Stage(StageBundleFactory stage, Runnable onLostWorker) {
      this.stage = stage;
      this.onLostWorker = onLostWorker;
    }

    @Override
    public RemoteBundle getBundle(
        OutputReceiverFactory outputs,
        TimerReceiverFactory timers,
        StateRequestHandler state,
        BundleProgressHandler progress,
        BundleFinalizationHandler finalization,
        BundleCheckpointHandler checkpoint)
        throws Exception {
      CounterSteps steps = new CounterSteps(progress);
      RemoteBundle bundle;
      try {
        bundle = stage.getBundle(outputs, timers, state, steps, finalization, checkpoint);
      } catch (Exception error) {
        tell(error, onLostWorker);
        throw error;
      }
      InstructionRequestHandler worker = stage.getInstructionRequestHandler();
      return new Bundle(bundle, () -> ask(worker, bundle.getId(), steps), onLostWorker);
    }

    /** The runner's own requestProgress is not implemented for batch jobs. */
    private static void ask(InstructionRequestHandler worker, String bundle, CounterSteps steps) {
      InstructionRequest request =
          InstructionRequest.newBuilder()
              .setInstructionId("pcc-progress-" + REQUESTS.incrementAndGet())
              .setProcessBundleProgress(ProcessBundleProgressRequest.newBuilder().setInstructionId(bundle))
              .build();
      worker.handle(request).thenAccept(answer -> steps.onProgress(answer.getProcessBundleProgress()));
    }

    @Override
    public ExecutableProcessBundleDescriptor getProcessBundleDescriptor() {
      return stage.getProcessBundleDescriptor();
    }

    @Override
    public InstructionRequestHandler getInstructionRequestHandler() {
      return stage.getInstructionRequestHandler();
    }

    @Override
    public void close() throws Exception {
      stage.close();
    }
  }

  private static final class Bundle implements RemoteBundle {
    private final RemoteBundle bundle;
    private final ScheduledFuture<?> asking;
    private final Runnable onLostWorker;

    Bundle(RemoteBundle bundle, Runnable ask, Runnable onLostWorker) {
      this.bundle = bundle;
      this.onLostWorker = onLostWorker;
      this.asking = TICKER.scheduleWithFixedDelay(ask, SECONDS, SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public String getId() {
      return bundle.getId();
    }

    @Override
    @SuppressWarnings("rawtypes")
    public Map<String, FnDataReceiver> getInputReceivers() {
      return bundle.getInputReceivers();
    }

    @Override
    public Map<KV<String, String>, FnDataReceiver<Timer>> getTimerReceivers() {
      return bundle.getTimerReceivers();
    }

    @Override
    public void requestProgress() {
      bundle.requestProgress();
    }

    @Override
    public void split(double fraction) {
      bundle.split(fraction);
    }

    @Override
    public void close() throws Exception {
      try {
        bundle.close(); // waits for the worker: this is where a bundle spends its time
      } catch (Exception error) {
        tell(error, onLostWorker);
        throw error;
      } finally {
        asking.cancel(false);
      }
    }
  }
}
