#include "dataio/store/readable_chain.h"

#include <fmt/format.h>

#include <cmath>

#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kHour = 3600 * kSecond;
constexpr std::int64_t kDay = 24 * kHour;
constexpr double kYear = 365.25 * static_cast<double>(kDay);
constexpr std::size_t kColumns = 80;

// At most `width` columns; UTF-8 characters are never cut apart.
std::string Shortened(const std::string& text, std::size_t width) {
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0U) != 0x80U;
    if (begins && columns++ == width - 1 && i + 1 < text.size()) {
      return text.substr(0, i) + "~";
    }
  }
  return text;
}

std::string Duration(std::int64_t microseconds) {
  const std::int64_t days = microseconds / kDay;
  if (days >= 730) return fmt::format("{:.1f} years", static_cast<double>(microseconds) / kYear);
  if (days >= 14) return fmt::format("{} days", days);
  if (days >= 1) return fmt::format("{} d {} h", days, microseconds % kDay / kHour);
  if (microseconds >= kHour) {
    return fmt::format("{} h {} min", microseconds / kHour, microseconds % kHour / (60 * kSecond));
  }
  return fmt::format("{} min", microseconds / (60 * kSecond));
}

// Wraps, as no record does, rather than overflow: the times are the file's.
std::int64_t Between(std::int64_t begin_us, std::int64_t end_us) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(end_us) -
                                   static_cast<std::uint64_t>(begin_us));
}

// MEDS codes of measurements end in their unit: "LAB//50912//mg/dL".
std::string UnitOf(const std::string& code) {
  const std::size_t first = code.find("//");
  const std::size_t last = code.rfind("//");
  if (first == std::string::npos || first == last) return "";
  const std::string unit = code.substr(last + 2);
  return unit == "UNK" || unit == "None" ? "" : " " + unit;
}

// Line ends and other control characters as blanks.
std::string OnOneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

// +1 where a stay begins, -1 where it ends.
int StayStep(const std::string& code) {
  const std::string kind = code.substr(0, code.find("//"));
  if (kind.find("ADMISSION") != std::string::npos) return 1;
  return kind.find("DISCHARGE") != std::string::npos ? -1 : 0;
}

class Printer {
 public:
  // `texts`: the records' own, one an event; none where the store kept none.
  Printer(const ChainStore& store, const ChainView& chain, std::vector<std::string_view> texts)
      : store_(store),
        chain_(chain),
        head_(HeadOf(store.vocabulary(), chain)),
        texts_(std::move(texts)) {}

  std::string Print() {
    PrintTitle();
    for (std::int64_t i = 0; i < head_.static_end; ++i) PrintEvent(i);
    for (std::int64_t i = head_.static_end; i < chain_.size(); ++i) {
      if (!started_ || Time(i) != Time(i - 1)) PrintTime(i);
      if (HasCode(i)) PrintEvent(i);
    }
    text_ += "\nThe record ends here.\n";
    return std::move(text_);
  }

 private:
  std::int64_t Time(std::int64_t i) const { return chain_.time_us[static_cast<std::size_t>(i)]; }
  bool HasCode(std::int64_t i) const { return chain_.code[static_cast<std::size_t>(i)] != kNoCode; }

  void PrintTitle() {
    std::int64_t events = 0;
    for (std::int64_t i = 0; i < chain_.size(); ++i) events += HasCode(i) ? 1 : 0;
    text_ += fmt::format("Subject {} ({}): {} events, {} tokens", chain_.subject_id,
                         NameOf(chain_.split), events, chain_.size());
    if (head_.static_end < chain_.size()) {
      text_ += fmt::format(", over {}",
                           Duration(Between(Time(head_.static_end), Time(chain_.size() - 1))));
    }
    text_ += "\n\nAt all times\n";
  }

  void PrintTime(std::int64_t i) {
    const std::int64_t since_first = Between(Time(head_.static_end), Time(i));
    text_ += fmt::format("\nDay {}, {:02}:{:02}", since_first / kDay, since_first % kDay / kHour,
                         since_first % kHour / (60 * kSecond));
    if (head_.birth_us) {
      text_ += fmt::format(", age {:.1f} years",
                           static_cast<double>(Between(*head_.birth_us, Time(i))) / kYear);
    }
    if (started_) text_ += fmt::format(" (after {})", Duration(Between(Time(i - 1), Time(i))));
    text_ += stays_ > 0 ? ", in hospital\n" : "\n";
    started_ = true;
  }

  void PrintEvent(std::int64_t i) {
    const auto place = static_cast<std::size_t>(i);
    const CodeEntry& entry = store_.codes()[chain_.code[place]];
    PrintStay(place);
    const int step = StayStep(entry.code);
    if (step < 0 && stays_ > 0) --stays_;
    std::string line = fmt::format("  {}", stays_ > 0 ? "| " : "  ");
    line += Shortened(entry.code, 40);
    const float value = chain_.value[place];
    const std::string_view kept = texts_.empty() ? std::string_view() : texts_[event_++];
    line += std::isnan(value) ? (kept.empty() ? TextResult(i) : "")
                              : fmt::format(" = {:g}{}", value, UnitOf(entry.code));
    if (!kept.empty()) line += " \"" + OnOneLine(kept) + "\"";
    if (!entry.description.empty() && line.size() + 6 < kColumns) {
      line += "  " + Shortened(entry.description, kColumns - line.size() - 2);
    }
    text_ += Shortened(Printable(line, 1000), kColumns) + "\n";
    if (step > 0) ++stays_;
  }

  // A line where the events of another stay begin.
  void PrintStay(std::size_t place) {
    if (chain_.stay.empty() || chain_.stay[place] == stay_) return;
    stay_ = chain_.stay[place];
    text_ += stay_ == kNoStay ? "  no stay\n" : fmt::format("  stay {}\n", stay_);
  }

  // The result that a text of the source became, of this event's token or the value token after it.
  std::string TextResult(std::int64_t i) const {
    const Vocabulary& vocabulary = store_.vocabulary();
    const std::string& own = vocabulary[chain_.token(i)].text_result;
    if (!own.empty()) return " = " + own;
    if (i + 1 < chain_.size() && !HasCode(i + 1)) {
      const std::string& next = vocabulary[chain_.token(i + 1)].text_result;
      if (!next.empty()) return " = " + next;
    }
    return "";
  }

  const ChainStore& store_;
  const ChainView& chain_;
  ChainHead head_;
  std::string text_;
  std::vector<std::string_view> texts_;
  std::size_t event_ = 0;  // of the next line
  std::int64_t stay_ = kNoStay;
  bool started_ = false;
  int stays_ = 0;
};

}  // namespace

std::string ReadableChain(const ChainStore& store, std::int64_t subject_index) {
  const ChainView chain = store.checked_chain(subject_index);
  std::vector<std::string_view> texts;
  if (store.has_texts()) texts = store.texts(subject_index);
  return Printer(store, chain, std::move(texts)).Print();
}

}  // namespace sequela
