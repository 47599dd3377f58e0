package beampcc;

import java.util.HashMap;
import java.util.Map;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleProgressResponse;
import org.apache.beam.model.fnexecution.v1.BeamFnApi.ProcessBundleResponse;
import org.apache.beam.model.pipeline.v1.MetricsApi.MonitoringInfo;
import org.apache.beam.runners.core.metrics.MonitoringInfoConstants;
import org.apache.beam.runners.core.metrics.MonitoringInfoEncodings;
import org.apache.beam.runners.fnexecution.control.BundleProgressHandler;

/**
 * Passes on how far a bundle's counters moved since the last time.
 *
 * <p>A worker tells each counter's sum so far; the runner, which expects to hear once, adds up what it is told. All but user counters
 * are passed on when the bundle ends, as ever.
 */
final class CounterSteps implements BundleProgressHandler {
  private final BundleProgressHandler next;
  private final Map<Map<String, String>, Long> told = new HashMap<>();
  private boolean completed;

  CounterSteps(BundleProgressHandler next) {
    this.next = next;
  }

  @Override
  public synchronized void onProgress(ProcessBundleProgressResponse progress) {
    if (completed) { // an answer that the bundle's own overtook
      return;
    }
    ProcessBundleProgressResponse.Builder steps = ProcessBundleProgressResponse.newBuilder();
    for (MonitoringInfo info : progress.getMonitoringInfosList()) {
      if (isUserCounter(info)) {
        steps.addMonitoringInfos(step(info));
      }
    }
    next.onProgress(steps.build());
  }

  @Override
  public synchronized void onCompleted(ProcessBundleResponse response) {
    completed = true;
    ProcessBundleResponse.Builder steps = response.toBuilder().clearMonitoringInfos();
    for (MonitoringInfo info : response.getMonitoringInfosList()) {
      steps.addMonitoringInfos(isUserCounter(info) ? step(info) : info);
    }
    next.onCompleted(steps.build());
  }

  private static boolean isUserCounter(MonitoringInfo info) {
    return info.getUrn().equals(MonitoringInfoConstants.Urns.USER_SUM_INT64);
  }

  private MonitoringInfo step(MonitoringInfo info) {
    long sum = MonitoringInfoEncodings.decodeInt64Counter(info.getPayload());
    long before = told.getOrDefault(info.getLabelsMap(), 0L);
    long now = Math.max(before, sum); // answers may overtake each other
    told.put(info.getLabelsMap(), now);
    return info.toBuilder()
        .setPayload(MonitoringInfoEncodings.encodeInt64Counter(now - before))
        .build();
  }
}
