// Preloaded into a server, sets its clock off by as many microseconds as the file
// that WALVAULT_TEST_CLOCK names begins with (a 64-bit number, read at every
// call): commit times that jump ahead and run backwards.
//
// It is loaded by servers that bring an older C library along: nothing of the C++
// library is used, and nothing that glibc has got only lately.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

const volatile std::int64_t* offset = nullptr;

__attribute__((constructor)) void map_offset() {
  const char* const path = std::getenv("WALVAULT_TEST_CLOCK");
  const int fd = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* const at = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at != MAP_FAILED) offset = static_cast<const std::int64_t*>(at);
}

}  // namespace

// What walvault takes its times from.
extern "C" int clock_gettime(clockid_t clock, struct timespec* time) noexcept {
  if (::syscall(SYS_clock_gettime, clock, time) != 0) return -1;
  if (clock != CLOCK_REALTIME || offset == nullptr) return 0;
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t all = time->tv_sec * second + time->tv_nsec + *offset * 1000;
  time->tv_sec = all / second;
  time->tv_nsec = all % second;
  return 0;
}

// What PostgreSQL takes its timestamps from (GetCurrentTimestamp).
extern "C" int gettimeofday(struct timeval* time, void*) noexcept {
  timespec real{};
  if (clock_gettime(CLOCK_REALTIME, &real) != 0) return -1;
  time->tv_sec = real.tv_sec;
  time->tv_usec = real.tv_nsec / 1000;
  return 0;
}
