#include "dataio/ingest/reading/row_reader.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/errors.h"
#include "kernels/base/int_math.h"

namespace sequela {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

// Trimmed and in lower case (ASCII): results that differ only so are one result.
std::string Normalized(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return "";
  std::string result(text.substr(begin, text.find_last_not_of(kBlank) - begin + 1));
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool HasText(const StringColumn& column, std::size_t row) {
  return column.index[row] != StringColumn::kNull && !column.dictionary[column.index[row]].empty();
}

}  // namespace

void RowReader::Numbers::Follow(const StringColumn& column) {
  if (serial == column.serial) return;
  serial = column.serial;
  of.assign(column.dictionary.size(), kUnset);
}

RowReader::RowReader(ReadShared& shared) : shared_(shared) {
  const auto partitions = static_cast<std::size_t>(shared.partitions.count());
  const std::int64_t per_buffer = shared.options.memory_bytes / 8 / shared.options.workers /
                                  static_cast<std::int64_t>(partitions) /
                                  static_cast<std::int64_t>(sizeof(RawEvent));
  capacity_ = static_cast<std::size_t>(std::clamp<std::int64_t>(per_buffer, 64, 8192));
  buffers_.resize(partitions);
}

void RowReader::Read(const ReadTask& task, RowGroupEnds& ends) {
  if (!open_ || open_file_ != task.file) {
    const SourceFile& file = shared_.source.files[task.file];
    open_.emplace(EventFile::Open(file.path, shared_.columns));
    open_file_ = task.file;
    code_numbers_ = {};
    text_numbers_ = {};
    column_numbers_.assign(shared_.columns.events.size(), {});
  }
  ends_ = &ends;
  open_->ReadRowGroup(
      task.row_group, [&](const EventBatch& batch) { Consume(batch); }, counts_);
}

void RowReader::Flush() {
  for (std::size_t p = 0; p < buffers_.size(); ++p) Flush(p);
}

Findings RowReader::TakeFindings() {
  findings_[Finding::kRoundedValues] += counts_.rounded_values;
  findings_[Finding::kNonfiniteValues] += counts_.nonfinite_values;
  findings_[Finding::kInvalidTexts] += counts_.invalid_texts;
  return findings_;
}

std::uint32_t RowReader::CodeNumber(const EventBatch& batch, std::size_t i) {
  if (!batch.modifiers.empty()) return ModifiedCode(batch, i);
  std::uint32_t& number = code_numbers_.of[batch.code.index[i]];
  if (number == Numbers::kUnset) {
    number = shared_.codes.Intern(batch.code.dictionary[batch.code.index[i]]);
  }
  return number;
}

// With modifiers and code columns a code is "code//modifier//...", absent ones left out.
std::uint32_t RowReader::ModifiedCode(const EventBatch& batch, std::size_t i) {
  std::string code(batch.code.dictionary[batch.code.index[i]]);
  for (const StringColumn& modifier : batch.modifiers) {
    if (!HasText(modifier, i)) continue;
    code += "//";
    code += modifier.dictionary[modifier.index[i]];
  }
  const std::uint32_t number = NumberOf(code, batch, i);
  const std::string_view plain = batch.code.dictionary[batch.code.index[i]];
  if (code.size() == plain.size()) return number;
  if (number >= plain_codes_.size()) plain_codes_.resize(number + 1 + number / 2);
  if (plain_codes_[number] != plain) AddPlainCode(plain_codes_[number], std::string(plain));
  return number;
}

// Of a code that is put together here: its parts may have any length.
std::uint32_t RowReader::NumberOf(const std::string& code, const EventBatch& batch, std::size_t i) {
  if (code.size() > kMaxCodeBytes) {
    throw InputError(
        "{}, row {}: a code of more than 16 KiB with what is joined to it. Leave the column out.",
        shared_.source.files[open_file_].path.string(),
        batch.first_row + static_cast<std::int64_t>(i));
  }
  return shared_.codes.Intern(code);
}

std::uint32_t RowReader::TextNumber(const StringColumn& texts, std::size_t i) {
  const std::uint32_t entry = texts.index[i];
  if (entry == StringColumn::kNull || !shared_.options.text_results) return kNoText;
  std::uint32_t& number = text_numbers_.of[entry];
  if (number != Numbers::kUnset) return number;
  number = kFreeText;
  if (texts.invalid.empty() || !texts.invalid[entry]) {
    const std::string text = Normalized(texts.dictionary[entry]);
    if (text.empty()) {
      number = kNoText;
    } else if (text.size() <= static_cast<std::size_t>(shared_.options.text_max_bytes)) {
      number = shared_.texts.Intern(text);
    }
  }
  return number;
}

void RowReader::Consume(const EventBatch& batch) {
  code_numbers_.Follow(batch.code);
  text_numbers_.Follow(batch.text);
  for (const auto& column : batch.events) {
    if (column.value.empty()) column_numbers_[column.column].Follow(column.text);
  }
  const auto rows = static_cast<std::size_t>(batch.rows());
  findings_[Finding::kRowsRead] += batch.rows();
  if (!std::in_range<std::uint32_t>(batch.first_row + batch.rows())) {
    throw InputError("{}: more than 4 billion rows in one file. Write several files.",
                     shared_.source.files[open_file_].path.string());
  }
  for (std::size_t i = 0; i < rows; ++i) {
    NoteOrder(batch.subject[i], batch.time_us[i]);
    if (shared_.options.excluded != nullptr && IsExcluded(batch.subject[i])) continue;
    const auto row = static_cast<std::uint32_t>(batch.first_row) + static_cast<std::uint32_t>(i);
    const RawEvent event{.subject_key = SubjectKey(batch.subject[i]),
                         .time_us = batch.time_us[i],
                         .code = CodeNumber(batch, i),
                         .value = batch.value[i],
                         .text = TextNumber(batch.text, i),
                         .file = open_file_,
                         .row = row,
                         .reader = shared_.rank,
                         .column = 0};
    findings_[Finding::kTexts] += HasText(batch.text, i) ? 1 : 0;
    Append(event);
    if (!batch.events.empty()) AppendEventsOfColumns(batch, i, event);
    AppendExtra(batch, i, row);
  }
  if (shared_.options.progress) shared_.options.progress(batch.rows());
}

// A number in column "dose" is the event "dose" with that value, a string in column "route" the
// event "route//oral"; both stand at the row's time.
void RowReader::AppendEventsOfColumns(const EventBatch& batch, std::size_t i, RawEvent event) {
  event.text = kNoText;
  for (const EventBatch::EventColumn& column : batch.events) {
    const std::string& name = shared_.columns.events[column.column];
    event.column = static_cast<std::uint16_t>(column.column + 1);
    if (!column.value.empty()) {
      if (std::isnan(column.value[i])) continue;
      event.code = shared_.codes.Intern(name);
      event.value = column.value[i];
    } else {
      if (!HasText(column.text, i)) continue;
      const std::uint32_t entry = column.text.index[i];
      std::uint32_t& number = column_numbers_[column.column].of[entry];
      if (number == Numbers::kUnset) {
        number = NumberOf(fmt::format("{}//{}", name, column.text.dictionary[entry]), batch, i);
      }
      event.code = number;
      event.value = std::numeric_limits<float>::quiet_NaN();
    }
    ++findings_[Finding::kEventsOfColumns];
    Append(event);
  }
}

void RowReader::AppendExtra(const EventBatch& batch, std::size_t i, std::uint32_t row) {
  RowExtra extra = kNoExtra;
  extra.file = open_file_;
  extra.row = row;
  if (!batch.stay.empty()) extra.stay = batch.stay[i];
  std::string_view text;
  if (shared_.options.keep_text && HasText(batch.text, i)) {
    const std::uint32_t entry = batch.text.index[i];
    if (batch.text.invalid.empty() || !batch.text.invalid[entry]) {
      text = batch.text.dictionary[entry];
    }
  }
  if (extra.stay == kNoStay && text.empty()) return;
  const auto p =
      static_cast<std::size_t>(shared_.partitions.PartitionOf(SubjectKey(batch.subject[i])));
  Buffer& buffer = buffers_[p];
  extra.text_offset = buffer.texts.size();
  extra.text_size = narrow<std::uint32_t>(text.size());
  extra.text_hash = text.empty() ? 0 : MixBits(HashName(text));
  buffer.texts += text;
  buffer.extras.push_back(extra);
  if (buffer.extras.size() >= capacity_ || buffer.texts.size() >= capacity_ * sizeof(RawEvent)) {
    Flush(p);
  }
}

void RowReader::NoteOrder(std::int64_t subject, std::int64_t time) {
  RowGroupEnds& ends = *ends_;
  if (ends.empty) {
    ends = {false, subject, time, subject, time};
    return;
  }
  findings_[Finding::kRowsOutOfOrder] += subject == ends.last_subject && time < ends.last_time;
  ends.last_subject = subject;
  ends.last_time = time;
}

bool RowReader::IsExcluded(std::int64_t subject) {
  if (subject != last_asked_ || !asked_) {
    asked_ = true;
    last_asked_ = subject;
    last_excluded_ = shared_.options.excluded->contains(subject);
    if (last_excluded_) excluded_seen_.insert(subject);
  }
  findings_[Finding::kExcludedRows] += last_excluded_ ? 1 : 0;
  return last_excluded_;
}

void RowReader::NoteTime(std::uint32_t code, std::int64_t time) {
  if (time == kStaticTime) return;
  if (code >= timed_.size()) {
    timed_.resize(code + 1 + code / 2);
    midnight_.resize(timed_.size());
  }
  ++timed_[code];
  midnight_[code] += time % kDayUs == 0 ? 1 : 0;
}

void RowReader::Append(const RawEvent& event) {
  NoteTime(event.code, event.time_us);
  const auto p = static_cast<std::size_t>(shared_.partitions.PartitionOf(event.subject_key));
  buffers_[p].events.push_back(event);
  if (buffers_[p].events.size() >= capacity_) Flush(p);
}

void RowReader::Flush(std::size_t partition) {
  Buffer& buffer = buffers_[partition];
  shared_.partitions.AppendRaw(static_cast<int>(partition), buffer.events);
  shared_.partitions.AppendExtras(static_cast<int>(partition), buffer.extras, buffer.texts);
  buffer.events.clear();
  buffer.extras.clear();
  buffer.texts.clear();
  // A text of many megabytes does not keep its room.
  if (buffer.texts.capacity() > 4 * capacity_ * sizeof(RawEvent)) buffer.texts.shrink_to_fit();
}

}  // namespace sequela
