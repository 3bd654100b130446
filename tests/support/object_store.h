// A real S3 server (Ceph's gateway, object_store.sh, or Swift, swift_store.sh), started by
// the test program that asks for it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

namespace walvault {

class ObjectStore {
 public:
  // Ceph in memory, started at the first call, ended with the program, however that ends.
  // With WALVAULT_TEST_OBJECT_STORE=PORT in the environment, one that runs already.
  [[nodiscard]] static ObjectStore& shared();

  // "memstore" and "bluestore" are Ceph; "swift" has no conditional writes.
  explicit ObjectStore(const std::string& kind);
  ~ObjectStore();
  ObjectStore(const ObjectStore&) = delete;
  ObjectStore& operator=(const ObjectStore&) = delete;

  [[nodiscard]] std::string endpoint() const;      // http://127.0.0.1:PORT
  [[nodiscard]] std::string tls_endpoint() const;  // https://localhost:PORT
  [[nodiscard]] std::string ca_file() const { return directory_ + "/tls.crt"; }
  [[nodiscard]] int port() const { return port_; }

  static constexpr const char* access_key = "test:tester";
  static constexpr const char* secret_key = "testing-secret";

  // SIGKILL to a daemon of Ceph: "osd.0", "mon.a", "client.rgw".
  void kill_daemon(const std::string& name) const;
  // Starts what is gone; returns when the store answers again.
  void restart();

 private:
  explicit ObjectStore(int port);
  void await_ready();

  std::string directory_;
  int port_ = 0;
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
};

}  // namespace walvault
