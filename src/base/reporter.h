// Whom a long piece of work tells what it does, and how it learns that it is to stop: what
// there is between the layers below app, which log nothing, and the command that runs them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace walvault {

// All of it may be called from any thread.
struct Reporter {
  // A line for who looks on: a sentence without a full stop.
  std::function<void(const std::string&)> info = [](const std::string&) {};
  // What does not stop the work, and that somebody has to know.
  std::function<void(const std::string&)> warn = [](const std::string&) {};
  // Throws when the work is to stop.
  std::function<void()> check_cancelled = [] {};
};

// How far a piece of work is. Both may be called from any thread.
struct Meter {
  // What it will come to, once that is known.
  std::function<void(std::uint64_t bytes)> total = [](std::uint64_t) {};
  // So much more is done.
  std::function<void(std::uint64_t bytes)> done = [](std::uint64_t) {};
};

}  // namespace walvault
