#include "runtime/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>

namespace sequela {
namespace {

constexpr auto kProgressInterval = std::chrono::seconds(5);

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

struct Log {
  Log()
      : is_terminal(::isatty(STDERR_FILENO) != 0),
        logger("sequela", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()) {
    logger.set_pattern("%H:%M:%S %^%L%$ %v");
    logger.flush_on(spdlog::level::trace);
  }
  // A line of progress on a terminal is wiped before another line is printed.
  void WipeProgress() {
    if (progress_shown) std::fputs("\r\033[K", stderr);
    progress_shown = false;
  }

  std::mutex mutex;
  int rank = 0;
  int size = 1;
  LogLevel level = LogLevel::kInfo;
  bool is_terminal;
  bool progress_shown = false;
  std::chrono::steady_clock::time_point last_progress{};
  spdlog::logger logger;
};

Log& TheLog() {
  static Log log;
  return log;
}

}  // namespace

void InitializeLog(int rank, int size, LogLevel level) {
  Log& log = TheLog();
  const std::lock_guard lock(log.mutex);
  log.rank = rank;
  log.size = size;
  log.level = level;
  log.logger.set_level(SpdlogLevel(level));
}

bool LogEnabled(LogLevel level) {
  const Log& log = TheLog();
  return level >= log.level && (log.rank == 0 || level == LogLevel::kError);
}

void LogLine(LogLevel level, std::string_view text) {
  if (!LogEnabled(level)) return;
  Log& log = TheLog();
  const std::lock_guard lock(log.mutex);
  log.WipeProgress();
  if (level == LogLevel::kError && log.size > 1) {
    log.logger.log(SpdlogLevel(level), "rank {}: {}", log.rank, text);
  } else {
    log.logger.log(SpdlogLevel(level), "{}", text);
  }
}

bool LogProgress(std::string_view text, bool last) {
  if (!LogEnabled(LogLevel::kInfo)) return false;
  Log& log = TheLog();
  const std::lock_guard lock(log.mutex);
  if (log.is_terminal) {
    // Not fmt::print: it throws where the terminal is gone.
    std::fputs(fmt::format("\r\033[K{}{}", text, last ? "\n" : "").c_str(), stderr);
    std::fflush(stderr);
    log.progress_shown = !last;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!last && now - log.last_progress < kProgressInterval) return false;
  log.last_progress = now;
  if (!log.is_terminal) log.logger.info("{}", text);
  return true;
}

void PrintError(std::string_view line) {
  if (line.empty()) return;
  Log& log = TheLog();
  const std::lock_guard lock(log.mutex);
  log.WipeProgress();
  std::fputs(fmt::format("{}\n", line).c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace sequela
