#include "dataio/ingest/fitting/clean_events.h"

#include <algorithm>
#include <bit>
#include <span>
#include <tuple>

#include "dataio/ingest/quantiles.h"
#include "dataio/ingest/splits.h"
#include "kernels/base/errors.h"
#include "kernels/base/printable_text.h"

namespace sequela {
namespace {

constexpr std::int64_t kDayUs = 86'400'000'000;

std::uint32_t ValueKey(float value) { return value != value ? 0xFFFFFFFFU : OrderKey(value); }

// What is kept of the rows of a partition beside their events.
class ExtraTable {
 public:
  explicit ExtraTable(std::vector<RowExtra> extras) : extras_(std::move(extras)) {
    std::sort(extras_.begin(), extras_.end(),
              [](const RowExtra& a, const RowExtra& b) { return RowOf(a) < RowOf(b); });
  }
  // Of the event's row; events made of other columns have its stay but not its text.
  RowExtra Of(const RawEvent& event) const {
    const auto found = std::lower_bound(
        extras_.begin(), extras_.end(), RowOf(event),
        [](const RowExtra& extra, std::uint64_t row) { return RowOf(extra) < row; });
    if (found == extras_.end() || RowOf(*found) != RowOf(event)) return kNoExtra;
    return event.column == 0 ? *found : found->WithoutText();
  }

 private:
  template <typename T>
  static std::uint64_t RowOf(const T& of) {
    return static_cast<std::uint64_t>(of.file) << 32 | of.row;
  }
  std::vector<RowExtra> extras_;
};

// Events that differ in nothing that a store keeps have equal keys: their order makes no
// difference.
struct CanonicalLess {
  const std::vector<CodeRule>& rules;
  const ExtraTable& extras;
  auto Key(const RawEvent& e) const {
    return std::make_tuple(rules[e.code].rank, e.code, ValueKey(e.value),
                           std::bit_cast<std::uint32_t>(e.value), e.text);
  }
  bool operator()(const RawEvent& a, const RawEvent& b) const {
    if (a.subject_key != b.subject_key) return a.subject_key < b.subject_key;
    if (a.time_us != b.time_us) return a.time_us < b.time_us;
    const auto order = Key(a) <=> Key(b);
    if (order != 0) return order < 0;
    return extras.Of(a).Key() < extras.Of(b).Key();
  }
};

// Row order within a time stamp, except that death ends it; static facts by code all the same.
struct SourceLess {
  const std::vector<CodeRule>& rules;
  bool operator()(const RawEvent& a, const RawEvent& b) const {
    if (a.subject_key != b.subject_key) return a.subject_key < b.subject_key;
    if (a.time_us != b.time_us) return a.time_us < b.time_us;
    const bool a_death = rules[a.code].rank == KindRank::kDeath;
    const bool b_death = rules[b.code].rank == KindRank::kDeath;
    return std::make_tuple(a_death, a.file, a.row, a.column) <
           std::make_tuple(b_death, b.file, b.row, b.column);
  }
};

std::int64_t DayEnd(std::int64_t time_us) {
  std::int64_t day = time_us / kDayUs;
  if (time_us % kDayUs < 0) --day;
  return day * kDayUs + kDayUs - 1;
}

class Cleaner {
 public:
  Cleaner(const CleanContext& context, const ExtraTable& extras, Findings& findings,
          CleanPartition& out)
      : context_(context), extras_(extras), findings_(findings), out_(out) {}

  // What can be done to an event alone, before sorting.
  void Prepare(RawEvent& event) {
    const CodeRule& rule = context_.rules[event.code];
    if (rule.has_value_rule && event.value == event.value) {
      event.value = static_cast<float>(static_cast<double>(event.value) * rule.factor);
      if (!IsPlausible(rule, event.value)) ++findings_[Finding::kImplausibleValues];
    }
    if (event.time_us == kStaticTime || !rule.is_date_only ||
        context_.settings.date_only != IngestSettings::DateOnly::kEndOfDay ||
        event.time_us % kDayUs != 0) {
      return;
    }
    event.time_us = DayEnd(event.time_us);
    ++findings_[Finding::kMovedToDayEnd];
  }

  // `events` of one subject, sorted.
  void AddSubject(std::span<const RawEvent> events) {
    const std::int64_t id = SubjectOfKey(events.front().subject_key);
    const Split split = SplitOf(id, events);
    NoteLayout(events);
    statics_.clear();
    timed_.clear();
    birth_us_.reset();
    for (const RawEvent& event : events) Sort(event);
    if (!birth_us_) ++findings_[Finding::kSubjectsWithoutBirth];
    if (timed_.empty()) {
      ++findings_[Finding::kStaticOnlySubjects];
      findings_[Finding::kStaticOnlyEventsDropped] += static_cast<std::int64_t>(statics_.size());
      return;
    }
    DropAroundLife();
    DropDuplicates();
    const auto key = [&](const CleanEvent& e) {
      return std::tuple_cat(std::make_tuple(e.code, e.time_us, ValueKey(e.value), e.text),
                            out_.ExtraOf(e).Key());
    };
    std::sort(statics_.begin(), statics_.end(),
              [&](const CleanEvent& a, const CleanEvent& b) { return key(a) < key(b); });
    out_.subjects.push_back({id, static_cast<std::uint32_t>(statics_.size()),
                             static_cast<std::uint32_t>(timed_.size()),
                             static_cast<std::uint32_t>(split)});
    out_.events.insert(out_.events.end(), statics_.begin(), statics_.end());
    out_.events.insert(out_.events.end(), timed_.begin(), timed_.end());
  }

 private:
  [[noreturn]] void Refuse(const RawEvent& event, const std::string& what) const {
    throw InputError("{}, row {}: {}", context_.files[event.file].path.string(), event.row, what);
  }

  // Static facts, birth and timed events apart.
  void Sort(const RawEvent& event) {
    const CodeRule& rule = context_.rules[event.code];
    const CleanEvent clean{event.time_us, event.code, event.value, event.text, KeepExtra(event)};
    const bool has_time = event.time_us != kStaticTime;
    if (rule.rank == KindRank::kBirth) {
      if (!has_time) {
        ++findings_[Finding::kBirthWithoutTime];
      } else if (birth_us_) {
        ++findings_[Finding::kExtraBirths];
      } else {
        birth_us_ = event.time_us;
        statics_.push_back(clean);
      }
      return;
    }
    if (has_time) {
      timed_.push_back(clean);
      return;
    }
    if (rule.rank == KindRank::kDeath) {
      Refuse(event,
             "a death without a time. It would tell every window that its subject dies; give it "
             "its time or remove the row.");
    }
    if (rule.is_static) {
      statics_.push_back(clean);
    } else {
      ++findings_[Finding::kStaticFactsDropped];
    }
  }

  std::uint32_t KeepExtra(const RawEvent& event) {
    const RowExtra extra = extras_.Of(event);
    if (extra.Key() == kNoExtra.Key()) return 0;
    out_.extras.push_back(extra);
    return static_cast<std::uint32_t>(out_.extras.size());
  }

  void DropAroundLife() {
    if (birth_us_) {
      const auto first_after = std::find_if(timed_.begin(), timed_.end(), [&](const CleanEvent& e) {
        return e.time_us >= *birth_us_;
      });
      const auto before = first_after - timed_.begin();
      // A record of nothing but events before birth keeps them: else nothing would be left.
      if (context_.settings.before_birth == IngestSettings::Keep::kDrop &&
          first_after != timed_.end()) {
        findings_[Finding::kEventsBeforeBirthDropped] += before;
        timed_.erase(timed_.begin(), first_after);
      } else {
        findings_[Finding::kEventsBeforeBirth] += before;
      }
    }
    const auto death = std::find_if(timed_.begin(), timed_.end(), [&](const CleanEvent& e) {
      return context_.rules[e.code].rank == KindRank::kDeath;
    });
    if (death == timed_.end()) return;
    const auto after = timed_.end() - (death + 1);
    if (context_.settings.after_death == IngestSettings::Keep::kDrop) {
      findings_[Finding::kEventsAfterDeathDropped] += after;
      timed_.erase(death + 1, timed_.end());
    } else {
      findings_[Finding::kEventsAfterDeath] += after;
    }
  }

  void DropDuplicates() {
    const auto same = [&](const CleanEvent& a, const CleanEvent& b) {
      return a.time_us == b.time_us && a.code == b.code && a.text == b.text &&
             ValueKey(a.value) == ValueKey(b.value) &&
             out_.ExtraOf(a).Key() == out_.ExtraOf(b).Key();
    };
    const bool drop = context_.settings.duplicates == IngestSettings::Keep::kDrop;
    for (auto* events : {&statics_, &timed_}) {
      if (drop) {
        const auto end = std::unique(events->begin(), events->end(), same);
        findings_[Finding::kDuplicatesDropped] += events->end() - end;
        events->erase(end, events->end());
        continue;
      }
      for (std::size_t i = 1; i < events->size(); ++i) {
        findings_[Finding::kDuplicates] += same((*events)[i - 1], (*events)[i]) ? 1 : 0;
      }
    }
  }

  // Rows in several files or not together: gathered here, and said.
  void NoteLayout(std::span<const RawEvent> events) {
    const std::uint32_t file = events.front().file;
    std::uint32_t first = events.front().row;
    std::uint32_t last = first;
    for (const RawEvent& event : events) {
      if (event.file != file) {
        ++findings_[Finding::kSubjectsInSeveralFiles];
        return;
      }
      first = std::min(first, event.row);
      last = std::max(last, event.row);
    }
    findings_[Finding::kSubjectsNotContiguous] += last - first + 1 != events.size() ? 1 : 0;
  }

  // As the paths of the subject's files say; files whose path says nothing leave it to the others.
  std::optional<Split> FolderSplit(std::span<const RawEvent> events) const {
    if (!context_.splits.use_folders) return std::nullopt;
    const SourceFile* first = nullptr;
    for (const RawEvent& event : events) {
      const SourceFile& file = context_.files[event.file];
      if (!file.split) continue;
      if (first == nullptr) first = &file;
      if (file.split == first->split) continue;
      Refuse(event,
             fmt::format("this row's subject has rows in {} too, which is another split. A "
                         "subject belongs to one split; move its rows, or give --splits FILE.",
                         Printable(first->relative)));
    }
    return first == nullptr ? std::nullopt : first->split;
  }

  Split SplitOf(std::int64_t id, std::span<const RawEvent> events) {
    if (context_.splits.folds > 0) {
      return FoldSplit(id, context_.splits.folds, context_.splits.fold);
    }
    const std::optional<Split> folder = FolderSplit(events);
    if (context_.splits.given) {
      const auto found = context_.splits.given->find(id);
      if (found != context_.splits.given->end()) {
        if (folder && *folder != found->second) {
          Refuse(events.front(),
                 fmt::format("this row's subject lies in a folder of split {}, but {} "
                             "says {}. Mend one of them, or give --splits FILE.",
                             NameOf(*folder), context_.splits.given_name, NameOf(found->second)));
        }
        return found->second;
      }
    }
    if (folder) return *folder;
    if (context_.splits.use_folders) {
      Refuse(events.front(),
             fmt::format("the split of this row's subject is not known: its file's path says none, "
                         "while others do, and {} does not list it. List it there, or give "
                         "--splits FILE.",
                         context_.splits.given_name));
    }
    ++findings_[Finding::kSubjectsSplitByHash];
    return HashSplit(id);
  }

  const CleanContext& context_;
  const ExtraTable& extras_;
  Findings& findings_;
  CleanPartition& out_;
  std::vector<CleanEvent> statics_;
  std::vector<CleanEvent> timed_;
  std::optional<std::int64_t> birth_us_;
};

}  // namespace

CleanPartition CleanEvents(std::vector<RawEvent> raw, std::vector<RowExtra> row_extras,
                           const CleanContext& context, Findings& findings) {
  const ExtraTable extras(std::move(row_extras));
  CleanPartition out;
  out.events.reserve(raw.size());
  Cleaner cleaner(context, extras, findings, out);
  for (RawEvent& event : raw) cleaner.Prepare(event);
  if (context.settings.order == IngestSettings::Order::kCanonical) {
    std::sort(raw.begin(), raw.end(), CanonicalLess{context.rules, extras});
  } else {
    std::sort(raw.begin(), raw.end(), SourceLess{context.rules});
  }
  for (auto begin = raw.begin(); begin != raw.end();) {
    const auto end = std::find_if(begin, raw.end(), [&](const RawEvent& event) {
      return event.subject_key != begin->subject_key;
    });
    cleaner.AddSubject({begin, end});
    begin = end;
  }
  return out;
}

}  // namespace sequela
