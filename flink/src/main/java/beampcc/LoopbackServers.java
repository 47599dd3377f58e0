package beampcc;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.apache.beam.model.pipeline.v1.Endpoints.ApiServiceDescriptor;
import org.apache.beam.sdk.fn.channel.SocketAddressFactory;
import org.apache.beam.sdk.fn.server.GrpcContextHeaderAccessorProvider;
import org.apache.beam.sdk.fn.server.ServerFactory;
import org.apache.beam.vendor.grpc.v1p60p1.io.grpc.BindableService;
import org.apache.beam.vendor.grpc.v1p60p1.io.grpc.Server;
import org.apache.beam.vendor.grpc.v1p60p1.io.grpc.ServerInterceptors;
import org.apache.beam.vendor.grpc.v1p60p1.io.grpc.netty.NettyServerBuilder;

/**
 * The servers in a TaskManager that its Python workers connect to, on the loopback address only.
 *
 * <p>Beam's tell the workers a loopback address too, but listen on every interface: whoever reaches the TaskManager's host could read
 * the rows of a stage there. The workers are beside the TaskManager, so nobody else has to reach them.
 */
final class LoopbackServers extends ServerFactory {
  @Override
  public Server allocateAddressAndCreate(List<BindableService> services, ApiServiceDescriptor.Builder address)
      throws IOException {
    InetAddress loopback = InetAddress.getLoopbackAddress();
    Server server = listening(services, new InetSocketAddress(loopback, 0));
    address.setUrl(loopback.getHostName() + ":" + server.getPort());
    return server;
  }

  @Override
  public Server create(List<BindableService> services, ApiServiceDescriptor address) throws IOException {
    return listening(services, (InetSocketAddress) SocketAddressFactory.createFrom(address.getUrl()));
  }

  /** As Beam's ServerFactory makes them: messages of any size, and pings as often as the workers like. */
  private static Server listening(List<BindableService> services, InetSocketAddress address) throws IOException {
    NettyServerBuilder builder =
        NettyServerBuilder.forAddress(address)
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .permitKeepAliveTime(20, TimeUnit.SECONDS);
    for (BindableService service : services) {
      builder.addService(
          ServerInterceptors.intercept(service, GrpcContextHeaderAccessorProvider.interceptor()));
    }
    return builder.build().start();
  }
}
