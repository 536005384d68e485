// The one place below launch/ that prints: lines to standard error, from rank 0 unless something is
// wrong with a rank. Never patient-level values. That nobody reads them any more (a closed pipe or
// terminal, a full disk) is no failure.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace sequela {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Once, before the first line; without it the process is rank 0 of 1 at kInfo.
void InitializeLog(int rank, int size, LogLevel level);
bool LogEnabled(LogLevel level);

// Safe for concurrent use. kDebug, kInfo and kWarning come from rank 0 only (all ranks see the
// same); kError comes from any rank and names it.
void LogLine(LogLevel level, std::string_view text);

template <typename... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kDebug)) {
    LogLine(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  LogLine(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

// A line of progress from rank 0: on a terminal it replaces the one before, elsewhere it is a plain
// line, at most one every five seconds (`last` is always shown). Returns true at most every five
// seconds: a plain line was written, or, on a terminal, what it tells has been seen.
bool LogProgress(std::string_view text, bool last = false);

// The line as it is, from any rank: a command's last message. An empty one prints nothing.
void PrintError(std::string_view line);

}  // namespace sequela
