#include "support/test_host.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace walvault {
namespace {

void require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error("cannot " + what + ": " + ::strerror(errno));
}

void start_loopback() {
  ifreq request{};
  ::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int done = ::ioctl(socket, SIOCSIFFLAGS, &request);
  ::close(socket);
  require(done == 0, "start the loopback");
}

}  // namespace

bool TestHost::can_be_made() {
  return std::async(std::launch::async, [] { return ::unshare(CLONE_NEWNET | CLONE_NEWUTS) == 0; })
      .get();
}

// Namespaces are a thread's: the one that makes them ends here, they stay while they are open.
TestHost::TestHost(const std::string& name, int store_port) {
  int listener = -1;
  std::async(std::launch::async, [&] {
    require(::unshare(CLONE_NEWNET | CLONE_NEWUTS) == 0, "make namespaces");
    require(::sethostname(name.data(), name.size()) == 0, "name the host");
    start_loopback();
    listener = TcpProxy::listen_on_loopback();
    network_namespace_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    name_namespace_ = ::open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC);
    require(network_namespace_ >= 0 && name_namespace_ >= 0, "keep namespaces");
  }).get();
  network_ = std::make_unique<TcpProxy>(store_port, listener);
}

TestHost::~TestHost() {
  ::close(network_namespace_);
  ::close(name_namespace_);
}

std::future<void> TestHost::run(std::function<void()> work) const {
  return std::async(std::launch::async, [this, work = std::move(work)] {
    require(::setns(network_namespace_, CLONE_NEWNET) == 0 &&
                ::setns(name_namespace_, CLONE_NEWUTS) == 0,
            "enter the host");
    work();
  });
}

}  // namespace walvault
