#include "app/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/format.h"

namespace walvault {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

Progress::Progress(std::string what, std::uint64_t total_bytes, bool enabled)
    : what_(std::move(what)),
      total_(total_bytes),
      enabled_(enabled),
      terminal_(::isatty(STDERR_FILENO) == 1),
      began_(steady_clock::now()),
      shown_(began_) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void Progress::add(std::uint64_t bytes) {
  done_ += bytes;
  if (!enabled_) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;
  const auto now = steady_clock::now();
  if (now - shown_ >= (terminal_ ? milliseconds(200) : milliseconds(10'000))) show(now);
}

void Progress::show(Time now) {
  shown_ = now;
  const auto done = done_.load();
  const auto total = total_.load();
  const auto elapsed = std::max(duration_cast<milliseconds>(now - began_), milliseconds(1));
  const double rate = static_cast<double>(done) / static_cast<double>(elapsed.count()) * 1000;
  std::string text = what_ + ": " + format_size(done);
  if (total > 0) text += " of " + format_size(total);
  text += ", " + format_size(static_cast<std::uint64_t>(rate)) + "/s";
  if (total > done && rate > 0) {
    const double seconds_left = static_cast<double>(total - done) / rate;
    text += ", " + format_duration(milliseconds(static_cast<std::int64_t>(seconds_left * 1000))) +
            " left";
  }
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  constexpr int width = 30;
  const auto filled =
      total == 0 ? 0 : static_cast<int>(std::min<std::uint64_t>(width, done * width / total));
  std::fprintf(stderr, "\r[%-*s] %s\033[K", width,
               std::string(static_cast<std::size_t>(filled), '#').c_str(), text.c_str());
  drawn_ = true;
}

}  // namespace walvault
