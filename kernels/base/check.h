// SEQUELA_CHECK(condition) and SEQUELA_CHECK(condition, "format {}", value, ...): assertions for
// our own mistakes, on in every build. A failed check throws InternalError, which launch/main.cc
// reports as an internal error with exit code 1 (and aborts the other ranks).
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace sequela {

class InternalError : public std::logic_error {
 public:
  explicit InternalError(const std::string& message) : std::logic_error(message) {}
};

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line,
                              const std::string& detail);

}  // namespace sequela

#define SEQUELA_CHECK(condition, ...)                                    \
  do {                                                                   \
    if (!(condition)) [[unlikely]] {                                     \
      ::sequela::CheckFailed(#condition, __FILE__, __LINE__,             \
                             ::fmt::format("" __VA_OPT__(__VA_ARGS__))); \
    }                                                                    \
  } while (false)
