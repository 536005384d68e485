#include "dataio/meds/csv_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "dataio/base/utf8.h"
#include "dataio/meds/text_columns.h"
#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::size_t kBatchRows = 16 * 1024;
constexpr std::size_t kBatchBytes = 4 << 20;

bool IsText(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii || IsUtf8(text);
}

// A number, a date or a time: no name of a column.
bool LooksLikeData(const std::string& name) {
  return name.find_first_of("0123456789") != std::string::npos &&
         name.find_first_not_of("0123456789.:+-/ TZ") == std::string::npos;
}

[[noreturn]] void RefuseEncoding(const std::string& place) {
  throw InputError(
      "{}: bytes that are not UTF-8 text. Convert the file, for example from Latin-1: iconv -f "
      "LATIN1 -t UTF-8.",
      place);
}

}  // namespace

CsvTableReader::CsvTableReader(std::string file, std::vector<WantedColumn> columns, char delimiter,
                               Consume consume)
    : file_(std::move(file)),
      columns_(std::move(columns)),
      delimiter_(delimiter),
      consume_(std::move(consume)),
      parser_(file_, delimiter),
      bytes_(columns_.size()),
      ends_(columns_.size()) {}

// A heading that is one name with another delimiter in it, or a row of data, gets advice instead of
// its fields, which may be a patient's.
std::string CsvTableReader::AdviceFor(const std::vector<std::string>& heading) const {
  if (std::any_of(heading.begin(), heading.end(), LooksLikeData)) {
    return "Its first line looks like data: a table needs a heading line with the names of its "
           "columns.";
  }
  for (const char other : {';', '\t', '|', ','}) {
    if (heading.size() > 1 || heading[0].find(other) == std::string::npos) continue;
    const std::string shown = other == '\t' ? "\\t" : std::string(1, other);
    return fmt::format(
        "Its heading is one name that holds \"{}\": if that parts the columns, say so in the "
        "mapping: delimiter: \"{}\".",
        shown, shown);
  }
  return "";
}

void CsvTableReader::ReadHeading(std::span<const std::string_view> names) {
  heading_.assign(names.begin(), names.end());
  if (!std::all_of(names.begin(), names.end(), IsText)) RefuseEncoding(file_ + ", heading");
  places_ = FindColumns(columns_, heading_, file_, AdviceFor(heading_));
  parser_.NameColumns(heading_);
}

void CsvTableReader::AddRow(std::int64_t line, std::span<const std::string_view> fields) {
  if (heading_.empty()) return ReadHeading(fields);
  if (fields.size() != heading_.size()) {
    throw InputError(
        "{}, line {}: {} fields where the heading has {}. A field that holds the delimiter \"{}\" "
        "or "
        "a line end stands in double quotes.",
        file_, line, fields.size(), heading_.size(),
        delimiter_ == '\t' ? "\\t" : std::string(1, delimiter_));
  }
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string_view field = fields[places_[i]];
    if (!IsText(field)) {
      RefuseEncoding(fmt::format("{}, line {}, column '{}'", file_, line, columns_[i].name));
    }
    bytes_[i].append(field);
    ends_[i].push_back(bytes_[i].size());
    num_bytes_ += field.size();
  }
  lines_.push_back(line);
  if (lines_.size() >= kBatchRows || num_bytes_ >= kBatchBytes) HandOn();
}

void CsvTableReader::HandOn() {
  if (lines_.empty()) return;
  TextBatch batch;
  batch.file = &file_;
  batch.first_row = first_row_;
  batch.rows = static_cast<std::int64_t>(lines_.size());
  batch.line = std::move(lines_);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    TextColumn& column = batch.columns.emplace_back();
    std::size_t begin = 0;
    for (const std::size_t end : ends_[i]) {
      column.text.push_back(std::string_view(bytes_[i]).substr(begin, end - begin));
      begin = end;
    }
  }
  consume_(batch);
  first_row_ += batch.rows;
  lines_.clear();
  num_bytes_ = 0;
  for (std::string& bytes : bytes_) bytes.clear();
  for (std::vector<std::size_t>& ends : ends_) ends.clear();
}

void CsvTableReader::Feed(std::string_view text) {
  const auto add = [&](std::int64_t line, std::span<const std::string_view> fields) {
    AddRow(line, fields);
  };
  const bool at_end = text.empty();
  std::string begin;  // keeps what `text` may refer to
  if (!begun_) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    begin_.append(text);
    if (!at_end && begin_.size() < kByteOrderMark.size()) return;  // the mark may go on
    begun_ = true;
    begin.swap(begin_);
    text = begin;
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  }
  parser_.Feed(text, add);
  if (!at_end) return;
  parser_.Finish(add);
  if (heading_.empty()) {
    throw InputError("{}: empty. A table begins with a heading line: the names of its columns.",
                     file_);
  }
  HandOn();
}

}  // namespace sequela
