// Reading one Parquet file of MEDS events as plain columns, whatever its codec, encoding, string
// type, integer width or time unit. Values that MEDS's types cannot hold exactly are refused or
// counted (docs/meds-violations.md). In a build without Arrow every function throws InputError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

// Names of the columns that are read. Where value or text does not exist, all its rows are null.
struct EventColumns {
  std::string subject = "subject_id";
  std::string time = "time";
  std::string code = "code";
  std::string value = "numeric_value";
  std::string text = "text_value";
  std::vector<std::string> modifiers;  // joined to the code with "//"; each must exist
  bool read_text = true;
  // By setting; a file may lack them.
  std::vector<std::string> code_parts;  // joined to the code after the modifiers
  std::vector<std::string> events;      // each an event of its own at the row's time
  std::string stay;                     // integers: the row's stay; empty: none
  // Bounds, which change no result: on the strings of a batch, as far as the file tells their size,
  // and on all that reading may allocate at a time in this process.
  std::int64_t batch_bytes = 32LL << 20;
  std::int64_t memory_bytes = 2LL << 30;
};

// Row i is dictionary[index[i]], or null where index[i] is kNull. Columns of equal serial have the
// same dictionary, so that a reader may keep what it derived from one.
struct StringColumn {
  static constexpr std::uint32_t kNull = 0xFFFFFFFFU;
  std::vector<std::uint32_t> index;
  std::vector<std::string_view> dictionary;  // valid UTF-8, except for entries marked in `invalid`
  std::vector<bool> invalid;                 // empty: all valid
  std::uint64_t serial = 0;
};

struct EventBatch {
  int row_group = 0;
  std::int64_t first_row = 0;         // of the batch, within the file
  std::vector<std::int64_t> subject;  // [n]
  std::vector<std::int64_t> time_us;  // [n] kStaticTime for null
  std::vector<float> value;           // [n] NaN for null
  StringColumn code;                  // no nulls, all valid UTF-8
  StringColumn text;
  std::vector<StringColumn> modifiers;  // and code parts; all valid UTF-8
  // A column whose rows are events: of numbers (`text` has no rows then), or of strings.
  struct EventColumn {
    std::size_t column = 0;  // in EventColumns::events
    std::vector<float> value;
    StringColumn text;  // valid UTF-8
  };
  std::vector<EventColumn> events;
  std::vector<std::int64_t> stay;  // [n] kNoStay for null; empty where the file has no such column

  std::int64_t rows() const { return static_cast<std::int64_t>(subject.size()); }
};

// Repairs made while reading.
struct EventReadCounts {
  std::int64_t rounded_values = 0;    // not representable as float32: rounded to nearest
  std::int64_t nonfinite_values = 0;  // NaN, infinite, or beyond float32: taken as null
  std::int64_t invalid_texts = 0;     // rows whose text is no UTF-8: taken as free text
};

// No coding system has longer codes: a text in the wrong column, or a damaged file.
inline constexpr std::size_t kMaxCodeBytes = 16 * 1024;

// An open file. Concurrent ReadRowGroup calls need an EventFile each.
class EventFile {
 public:
  // Opens and checks the footer and the columns' types. A file without rows is accepted whatever its
  // columns; where every row of time, value or text is null, any type is. Throws InputError naming
  // file, column, what was found and expected.
  static EventFile Open(const std::filesystem::path& file, const EventColumns& columns);
  EventFile(EventFile&&) noexcept;
  EventFile& operator=(EventFile&&) noexcept;
  ~EventFile();

  int num_row_groups() const;
  std::int64_t num_rows() const;
  std::int64_t num_rows(int row_group) const;
  std::int64_t first_row(int row_group) const;
  const std::vector<std::string>& column_names() const;  // all top-level columns of the file

  // Hands the rows of a row group on in batches, in order. Throws InputError naming file, row group
  // and column (damaged pages, null subject or code, inexact times, invalid UTF-8 in a code, codes
  // longer than kMaxCodeBytes, more memory than the bound).
  void ReadRowGroup(int row_group, const std::function<void(const EventBatch&)>& consume,
                    EventReadCounts& counts) const;

 private:
  struct Impl;
  explicit EventFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// metadata/codes.parquet. Entries in file order; repeated codes keep the first. `joined`: columns
// that are joined to the code as they are to events' codes, where the file has them. Rows without a
// code (summaries of the whole dataset) are left out and counted in `without_code`; without it they are refused. Throws
// InputError.
struct CodeMetadata {
  std::string code;
  std::string description;
  std::vector<std::string> parent_codes;
};
std::vector<CodeMetadata> ReadCodeMetadata(const std::filesystem::path& file,
                                           const std::vector<std::string>& joined = {},
                                           std::int64_t* without_code = nullptr);

// metadata/subject_splits.parquet, in file order, as written.
struct SubjectSplitRow {
  std::int64_t subject_id = 0;
  std::string split;
};
std::vector<SubjectSplitRow> ReadSubjectSplits(const std::filesystem::path& file);

// Asks Arrow's allocator to give unused memory back to the system.
void ReleaseArrowMemory();

}  // namespace sequela
