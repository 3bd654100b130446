// The one exception type of the project. Its kind says what the operator does
// next; docs/operations.md lists the kinds with their exit codes.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace walvault {

enum class ErrorKind {
  usage,               // the command line or the configuration wants fixing
  not_found,           // the thing asked for does not exist
  conflict,            // two things claim one place
  corrupt,             // stored or received bytes are wrong
  unavailable,         // may work when tried again
  unreachable_target,  // the moment asked for cannot be recovered
  check_failed,        // a check ran, and its outcome is bad
  internal,            // a bug
};

[[nodiscard]] std::string_view kind_name(ErrorKind kind);
[[nodiscard]] int exit_code(ErrorKind kind);

// What happened (one sentence without a full stop), the evidence, and the
// next step; the last two may be empty.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, std::string detail = {}, std::string hint = {});

  // Marks what a repetition within seconds may cure (a busy device, a dropped
  // connection, a segment that is still under way), as a full disk is not.
  [[nodiscard]] Error&& transient() && {
    transient_ = true;
    return std::move(*this);
  }

  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }
  [[nodiscard]] ErrorKind kind() const { return kind_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] const std::string& detail() const { return detail_; }
  [[nodiscard]] const std::string& hint() const { return hint_; }
  [[nodiscard]] bool is_transient() const { return transient_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string detail_;
  std::string hint_;
  bool transient_ = false;
};

// Message and detail as one text: "cannot open "/x": No such file or directory." The sentence
// of whoever quotes it goes on behind that.
[[nodiscard]] std::string one_line(const Error& error);

// An Error{unavailable} for a system call that failed with `error_number`:
// "cannot <action>", the system's words as detail, and for the common numbers
// a hint. Transient where the number says so (EIO, ESTALE, EAGAIN, ...).
[[nodiscard]] Error system_error(std::string_view action, int error_number);

}  // namespace walvault
