// Progress of long work on stderr: a bar on a terminal, elsewhere a line every
// ten seconds; bytes, rate, time left.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace walvault {

class Progress {
 public:
  // `total_bytes` 0: not known.
  Progress(std::string what, std::uint64_t total_bytes, bool enabled);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Thread-safe.
  void add(std::uint64_t bytes);
  void set_total(std::uint64_t bytes) { total_ = bytes; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  void show(Time now);

  const std::string what_;
  std::atomic<std::uint64_t> total_;
  const bool enabled_;
  const bool terminal_;
  const Time began_;
  std::atomic<std::uint64_t> done_{0};
  std::mutex mutex_;
  Time shown_;
  bool drawn_ = false;
};

}  // namespace walvault
