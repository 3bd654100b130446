#include "base/error.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace walvault {

std::string_view kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::not_found: return "not_found";
    case ErrorKind::conflict: return "conflict";
    case ErrorKind::corrupt: return "corrupt";
    case ErrorKind::unavailable: return "unavailable";
    case ErrorKind::unreachable_target: return "unreachable_target";
    case ErrorKind::check_failed: return "check_failed";
    case ErrorKind::internal: return "internal";
  }
  return "internal";
}

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return 2;
    case ErrorKind::not_found: return 3;
    case ErrorKind::conflict: return 4;
    case ErrorKind::corrupt: return 5;
    case ErrorKind::unavailable: return 6;
    case ErrorKind::unreachable_target: return 7;
    case ErrorKind::check_failed: return 8;
    case ErrorKind::internal: return 70;
  }
  return 70;
}

Error::Error(ErrorKind kind, std::string message, std::string detail, std::string hint)
    : kind_(kind),
      message_(std::move(message)),
      detail_(std::move(detail)),
      hint_(std::move(hint)) {}

namespace {

std::string hint_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return "Free space on that file system, then try again.";
    case EACCES:
    case EPERM: return "Run as the user who owns these files, or give this user access to them.";
    case EROFS: return "The file system is mounted read-only; remount it for writing.";
    case EIO: return "Look into the system's log for errors of the device.";
    case EMFILE:
    case ENFILE: return "Raise the limit of open files.";
    default: return {};
  }
}

bool may_pass(int error_number) {
  switch (error_number) {
    case EIO:
    case EAGAIN:
    case EBUSY:
    case ESTALE:
    case ETIMEDOUT:
    case ENOBUFS:
    case ENOMEM:
    case EINTR: return true;
    default: return false;
  }
}

}  // namespace

std::string one_line(const Error& error) {
  return error.message() + (error.detail().empty() ? "" : ": " + error.detail());
}

Error system_error(std::string_view action, int error_number) {
  Error error(ErrorKind::unavailable, "cannot " + std::string(action),
              std::generic_category().message(error_number) + ".", hint_for(error_number));
  if (may_pass(error_number)) return std::move(error).transient();
  return error;
}

}  // namespace walvault
