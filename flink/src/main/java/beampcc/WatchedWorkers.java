package beampcc;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.beam.model.pipeline.v1.RunnerApi.Environment;
import org.apache.beam.model.pipeline.v1.RunnerApi.ExternalPayload;
import org.apache.beam.runners.fnexecution.artifact.ArtifactRetrievalService;
import org.apache.beam.runners.fnexecution.control.ControlClientPool;
import org.apache.beam.runners.fnexecution.control.FnApiControlClientPoolService;
import org.apache.beam.runners.fnexecution.environment.EnvironmentFactory;
import org.apache.beam.runners.fnexecution.environment.ExternalEnvironmentFactory;
import org.apache.beam.runners.fnexecution.environment.RemoteEnvironment;
import org.apache.beam.runners.fnexecution.logging.GrpcLoggingService;
import org.apache.beam.runners.fnexecution.provisioning.StaticGrpcProvisionService;
import org.apache.beam.sdk.fn.IdGenerator;
import org.apache.beam.sdk.fn.server.GrpcFnServer;
import org.apache.beam.sdk.fn.server.ServerFactory;

/**
 * Starts Python workers through their pool, as Beam's ExternalEnvironmentFactory does, and does not wait for ever.
 *
 * <p>Beam's waits for a worker as long as the task lives: where the pool, or a worker that it started, has died meanwhile, a job stays
 * RUNNING and does nothing. Here the task fails, and Flink's restart strategy acts.
 */
public final class WatchedWorkers implements EnvironmentFactory.Provider {
  /** For a pool that is being started, as the container beside the TaskManager is after a failure. */
  private static final Duration POOL = Duration.ofSeconds(Long.getLong("beampcc.pool.seconds", 60));
  /** For a worker from its start to its first words. It imports Beam and scikit-learn, on a machine that may be busy. */
  private static final Duration WORKER = Duration.ofSeconds(Long.getLong("beampcc.worker.seconds", 180));

  private static final Duration LOOK = Duration.ofMillis(250);
  private static final ExecutorService STARTING =
      Executors.newCachedThreadPool(
          task -> {
            Thread thread = new Thread(task, "pcc-worker-start");
            thread.setDaemon(true);
            return thread;
          });

  private final EnvironmentFactory.Provider provider = new ExternalEnvironmentFactory.Provider();

  @Override
  public EnvironmentFactory createEnvironmentFactory(
      GrpcFnServer<FnApiControlClientPoolService> control,
      GrpcFnServer<GrpcLoggingService> logging,
      GrpcFnServer<ArtifactRetrievalService> artifacts,
      GrpcFnServer<StaticGrpcProvisionService> provision,
      ControlClientPool clients,
      IdGenerator ids) {
    EnvironmentFactory factory =
        provider.createEnvironmentFactory(control, logging, artifacts, provision, clients, ids);
    return (environment, worker) -> start(factory, environment, worker);
  }

  @Override
  public ServerFactory getServerFactory() {
    return new LoopbackServers();
  }

  private static RemoteEnvironment start(EnvironmentFactory factory, Environment environment, String worker)
      throws Exception {
    String pool = ExternalPayload.parseFrom(environment.getPayload()).getEndpoint().getUrl();
    waitFor(pool);
    Future<RemoteEnvironment> started = STARTING.submit(() -> factory.createEnvironment(environment, worker));
    long deadline = System.nanoTime() + WORKER.toNanos();
    try {
      while (true) {
        try {
          return started.get(LOOK.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException waiting) {
          if (!listens(pool)) {
            throw new IllegalStateException(
                "the pool of Python workers at " + pool + " died while worker " + worker + " was starting", waiting);
          }
          if (System.nanoTime() > deadline) {
            throw new IllegalStateException(
                "Python worker " + worker + " did not start within " + WORKER.toSeconds() + " s", waiting);
          }
        }
      }
    } catch (ExecutionException failed) {
      throw failed.getCause() instanceof Exception ? (Exception) failed.getCause() : failed;
    } finally {
      started.cancel(true); // of no effect once it has ended
    }
  }

  private static void waitFor(String pool) throws InterruptedException {
    long deadline = System.nanoTime() + POOL.toNanos();
    while (!listens(pool)) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException(
            "no pool of Python workers answers at " + pool + ": Connection refused for " + POOL.toSeconds() + " s");
      }
      Thread.sleep(LOOK.toMillis());
    }
  }

  private static boolean listens(String address) {
    int colon = address.lastIndexOf(':');
    try (Socket socket = new Socket()) {
      InetSocketAddress to =
          new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
      socket.connect(to, 2000);
      return true;
    } catch (IOException refused) {
      return false;
    }
  }
}
