// A network whose answers come late: slow_network PORT MILLISECONDS prints the loopback port
// that leads to PORT, and ends when its standard input does.
#include <cstdio>
#include <cstdlib>

#include "support/tcp_proxy.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  walvault::TcpProxy proxy(std::atoi(argv[1]));
  proxy.delay(std::chrono::milliseconds(std::atoi(argv[2])));
  std::printf("%d\n", proxy.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}
