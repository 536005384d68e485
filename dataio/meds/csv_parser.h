// The text of a CSV table as records (RFC 4180): fields parted by one delimiter, records by LF, CRLF
// or CR, a field in double quotes may hold any of them, and a quote in it is written twice. The
// text may come in pieces cut anywhere. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sequela {

class CsvParser {
 public:
  // `file` is for messages.
  CsvParser(std::string file, char delimiter);

  // `line`: where the record begins, from 1. The views are valid during the call.
  using Record = std::function<void(std::int64_t line, std::span<const std::string_view> fields)>;

  // Hands on every record that ends within `text`, which follows the text of the calls before. Empty
  // lines are passed over. Throws InputError with line and column: text after a closing quote, a
  // record of more than 64 MiB, bytes of value 0 (UTF-16). No message shows what a field holds.
  void Feed(std::string_view text, const Record& consume);
  // The text has ended: hands on a last record without a line end. Throws InputError where a quote
  // is still open.
  void Finish(const Record& consume);

  // From now on messages name the columns.
  void NameColumns(std::vector<std::string> names) { names_ = std::move(names); }

 private:
  enum class State : std::uint8_t { kFieldStart, kPlain, kQuoted, kQuoteSeen };
  // Each takes the text at *at on to where its state ends.
  void ReadPlain(std::string_view text, std::size_t* at, const Record& consume);
  void ReadQuoted(std::string_view text, std::size_t* at);
  void ReadAfterQuote(std::string_view text, std::size_t* at, const Record& consume);
  void EndFieldAt(char separator, const Record& consume);
  void EndRecord(const Record& consume);
  void RefuseLongRecord() const;
  [[noreturn]] void Fail(std::int64_t line, const std::string& message) const;

  std::string file_;
  char delimiter_;
  std::vector<std::string> names_;
  State state_ = State::kFieldStart;
  std::string record_;             // the fields read so far, one behind the other
  std::vector<std::size_t> ends_;  // of the fields in it
  std::vector<std::string_view> fields_;
  bool quoted_ = false;          // the record holds a quoted field
  bool after_cr_ = false;        // an LF that follows belongs to the line end
  std::int64_t line_ = 1;        // that is being read
  std::int64_t begin_line_ = 1;  // of the record
  std::int64_t quote_line_ = 1;  // of the last opening quote
};

}  // namespace sequela
