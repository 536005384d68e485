// A file that only grows, a whole record at a time: what a run writes while it goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace sequela {

// One thread at a time.
class AppendFile {
 public:
  // Opens or creates `file` (mode 0600), cut to `keep_bytes` first. Throws InputError where it
  // is a link, else MachineError naming the file and the system's reason, as do the others.
  AppendFile(std::filesystem::path file, std::int64_t keep_bytes);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void Append(std::string_view record);  // reaches the operating system before it returns
  void Sync();                           // reaches the disk before it returns

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace sequela
