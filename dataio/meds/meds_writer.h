// Writing a MEDS 0.4 dataset (github.com/Medical-Event-Data-Standard/meds):
// data/<split>/<n>.parquet and metadata/. The files pass the official schemas: plain strings, no
// ARROW:schema key. In a build without Arrow every function throws InputError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/base/missing_values.h"
#include "dataio/base/split.h"

namespace sequela {

// One Parquet file of events. One thread at a time; several writers may write different files at
// once. MEDS wants a subject's rows together in one file, null times first, then ascending in time:
// the caller appends them so.
class MedsFileWriter {
 public:
  static constexpr float kNoValue = std::numeric_limits<float>::quiet_NaN();
  struct Options {
    bool text_column = false;  // write a text_value column
    // A row group ends at so many rows or, about, bytes, whichever comes first.
    std::int64_t row_group_rows = 1 << 20;
    std::int64_t row_group_bytes = 64 << 20;
  };

  // Creates `file` and the folders above it. Throws MachineError.
  explicit MedsFileWriter(std::filesystem::path file)
      : MedsFileWriter(std::move(file), Options{}) {}
  MedsFileWriter(std::filesystem::path file, Options options);
  ~MedsFileWriter();  // without Finish() the file is left unreadable
  MedsFileWriter(const MedsFileWriter&) = delete;
  MedsFileWriter& operator=(const MedsFileWriter&) = delete;

  // time_us: microseconds since 1970, or kStaticTime for a null time. value: NaN is written as
  // null. text: a null pointer (default-constructed view) is written as null. REQUIRES: valid
  // UTF-8.
  void Append(std::int64_t subject_id, std::int64_t time_us, std::string_view code,
              float value = kNoValue, std::string_view text = {});
  std::int64_t rows() const;
  // Writes what is buffered and the footer. Throws MachineError (disk full).
  void Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct MedsDatasetInfo {
  std::string dataset_name;
  std::string dataset_version;
  std::string etl_name;
  std::string etl_version;
  std::string license;  // left out where empty
};

struct MedsCode {
  std::string code;
  std::string description;                // null where empty
  std::vector<std::string> parent_codes;  // null where empty
};

struct MedsSubjectSplit {
  std::int64_t subject_id = 0;
  Split split = Split::kTrain;
};

// metadata/dataset.json, metadata/codes.parquet, metadata/subject_splits.parquet below `folder`
// (the last not where `splits` is empty). Throws MachineError.
void WriteMedsMetadata(const std::filesystem::path& folder, const MedsDatasetInfo& info,
                       const std::vector<MedsCode>& codes,
                       const std::vector<MedsSubjectSplit>& splits);

}  // namespace sequela
