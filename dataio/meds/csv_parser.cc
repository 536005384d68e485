#include "dataio/meds/csv_parser.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

constexpr std::size_t kLongestRecord = 64 << 20;
constexpr std::size_t kMostFields = 1 << 20;

}  // namespace

CsvParser::CsvParser(std::string file, char delimiter)
    : file_(std::move(file)), delimiter_(delimiter) {}

void CsvParser::Fail(std::int64_t line, const std::string& message) const {
  const std::size_t column = ends_.size();
  throw InputError("{}, line {}, column {}: {}", file_, line,
                   column < names_.size() ? "'" + names_[column] + "'" : std::to_string(column + 1),
                   message);
}

void CsvParser::RefuseLongRecord() const {
  if (record_.size() <= kLongestRecord && ends_.size() <= kMostFields) return;
  if (state_ == State::kQuoted) {
    Fail(quote_line_,
         "a quote opens here and is not closed within 64 MiB. Close it, or write a quote that is "
         "part of a text twice within quotes.");
  }
  Fail(begin_line_, "this record has more than 64 MiB or a million fields. Is this a CSV table?");
}

void CsvParser::EndRecord(const Record& consume) {
  const bool blank = ends_.size() == 1 && record_.empty() && !quoted_;
  if (!blank) {
    fields_.clear();
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
      fields_.push_back(std::string_view(record_).substr(begin, end - begin));
      begin = end;
    }
    consume(begin_line_, fields_);
  }
  record_.clear();
  ends_.clear();
  quoted_ = false;
  begin_line_ = line_;
}

// A field has ended at a delimiter, LF or CR.
void CsvParser::EndFieldAt(char separator, const Record& consume) {
  ends_.push_back(record_.size());
  state_ = State::kFieldStart;
  RefuseLongRecord();
  if (separator == delimiter_) return;
  after_cr_ = separator == '\r';
  ++line_;
  EndRecord(consume);
}

void CsvParser::ReadPlain(std::string_view text, std::size_t* at, const Record& consume) {
  std::size_t end = *at;
  while (end < text.size() && text[end] != delimiter_ && text[end] != '\n' && text[end] != '\r') {
    ++end;
  }
  record_.append(text.substr(*at, end - *at));
  *at = end;
  RefuseLongRecord();
  if (end == text.size()) return;
  ++*at;
  EndFieldAt(text[end], consume);
}

void CsvParser::ReadQuoted(std::string_view text, std::size_t* at) {
  const std::size_t quote = text.find('"', *at);
  const std::string_view part =
      text.substr(*at, quote == std::string_view::npos ? quote : quote - *at);
  line_ += std::count(part.begin(), part.end(), '\n');
  record_.append(part);
  *at += part.size();
  RefuseLongRecord();
  if (quote == std::string_view::npos) return;
  ++*at;
  state_ = State::kQuoteSeen;
}

void CsvParser::ReadAfterQuote(std::string_view text, std::size_t* at, const Record& consume) {
  const char next = text[(*at)++];
  if (next == '"') {
    record_.push_back('"');
    state_ = State::kQuoted;
  } else if (next == delimiter_ || next == '\n' || next == '\r') {
    EndFieldAt(next, consume);
  } else {
    Fail(line_,
         fmt::format("text follows a closing quote; the quote opened in line {}. A quoted field "
                     "ends at its closing quote, and a quote within it is written twice.",
                     quote_line_));
  }
}

void CsvParser::Feed(std::string_view text, const Record& consume) {
  if (text.find('\0') != std::string_view::npos) {
    throw InputError(
        "{}: holds bytes of value 0, which no CSV text has. Is it UTF-16? Convert it: iconv -f "
        "UTF-16 -t UTF-8.",
        file_);
  }
  for (std::size_t at = 0; at < text.size();) {
    switch (state_) {
      case State::kFieldStart:
        if (after_cr_ && text[at] == '\n') {
          ++at;
        } else if (text[at] == '"') {
          quoted_ = true;
          quote_line_ = line_;
          state_ = State::kQuoted;
          ++at;
        } else {
          state_ = State::kPlain;
        }
        after_cr_ = false;
        break;
      case State::kPlain:
        ReadPlain(text, &at, consume);
        break;
      case State::kQuoted:
        ReadQuoted(text, &at);
        break;
      case State::kQuoteSeen:
        ReadAfterQuote(text, &at, consume);
        break;
    }
  }
}

void CsvParser::Finish(const Record& consume) {
  if (state_ == State::kQuoted) {
    Fail(
        quote_line_,
        "a quote opens here and is never closed. Close it, or write a quote that is part of a text "
        "twice within quotes.");
  }
  if (state_ == State::kFieldStart && ends_.empty()) return;
  ends_.push_back(record_.size());
  EndRecord(consume);
}

}  // namespace sequela
