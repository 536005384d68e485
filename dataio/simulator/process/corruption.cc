#include "dataio/simulator/process/corruption.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/base/errors.h"

namespace sequela {
namespace {

// The name decides the random numbers: with another one the same seed would give other data.
constexpr std::uint64_t kCorruptionPurpose = HashName("simulator/unkind");
constexpr std::string_view kDiagnosis = "DIAGNOSIS//";
constexpr std::string_view kBilling = "BILLING//CLOSED";

// The site's own words and units; codes that are not listed are written alike at both.
struct SitePrefix {
  std::string_view from;
  std::string_view to;
};
constexpr std::array<SitePrefix, 3> kSitePrefixes = {
    {{"DIAGNOSIS//", "DX//B//"}, {"DRUG//START//", "RX//BEGIN//"}, {"DRUG//STOP//", "RX//END//"}}};
struct SiteUnit {
  std::string_view from;
  std::string_view to;
  double factor;
  double offset;
};
constexpr std::array<SiteUnit, 4> kSiteUnits = {
    {{"LAB//CREATININE//mg/dL", "LAB//CREATININE//umol/L", 88.42, 0},
     {"LAB//HBA1C//%", "LAB//HBA1C//mmol/mol", 10.929, -2.15},
     {"LAB//HEMOGLOBIN//g/dL", "LAB//HEMOGLOBIN//g/L", 10, 0},
     {"LAB//LDL//mg/dL", "LAB//LDL//mmol/L", 0.02586, 0}}};

void SortByTime(LifeRecord* life) {
  std::stable_sort(life->events.begin(), life->events.end(),
                   [](const LifeEvent& a, const LifeEvent& b) { return a.time_us < b.time_us; });
}

std::int64_t Midnight(std::int64_t time_us) {
  const std::int64_t into_day = time_us % kMicrosecondsPerDay;
  return time_us - (into_day < 0 ? into_day + kMicrosecondsPerDay : into_day);
}

}  // namespace

const std::vector<std::string>& CorruptionOptions() {
  static const std::vector<std::string> kOptions = {"late_entry", "delayed_coding", "date_only",
                                                    "duplicates", "bursts",         "two_sites",
                                                    "after_death"};
  return kOptions;
}

CorruptedRecords::CorruptedRecords(const ProcessParameters& parameters, std::uint64_t seed,
                                   const std::vector<std::string>& options)
    : seed_(seed), options_(options) {
  for (const std::string& option : options) {
    const auto& known = CorruptionOptions();
    if (std::find(known.begin(), known.end(), option) == known.end()) {
      throw InputError("--corruption {}: not known; one or several of {}", option,
                       fmt::join(known, ","));
    }
  }
  TranslateCodes(parameters);
  for (int i = 0; i < 20; ++i) {
    flowsheets_.push_back(fmt::format("FLOWSHEET//{:02}", i));
  }
}

bool CorruptedRecords::Has(const char* option) const {
  return std::find(options_.begin(), options_.end(), option) != options_.end();
}

void CorruptedRecords::TranslateCodes(const ProcessParameters& parameters) {
  for (const AnchorParameters& anchor : parameters.anchors) {
    if (anchor.code.starts_with(kDiagnosis)) {
      histories_.push_back({anchor.code, "HISTORY//" + anchor.code.substr(kDiagnosis.size()),
                            "History of: " + anchor.description});
    }
    for (const SitePrefix& prefix : kSitePrefixes) {
      if (anchor.code.starts_with(prefix.from)) {
        site_b_.push_back({anchor.code,
                           std::string(prefix.to) + anchor.code.substr(prefix.from.size()),
                           anchor.description});
      }
    }
  }
  for (const SiteUnit& unit : kSiteUnits) {
    site_b_.push_back({std::string(unit.from), std::string(unit.to), "", unit.factor, unit.offset});
  }
}

std::vector<MedsCode> CorruptedRecords::codes() const {
  std::vector<MedsCode> codes;
  const auto add = [&](const std::vector<Translation>& translations) {
    for (const Translation& translation : translations) {
      codes.push_back({translation.to, translation.description, {}});
    }
  };
  if (Has("late_entry")) {
    add(histories_);
  }
  if (Has("two_sites")) {
    add(site_b_);
  }
  for (std::size_t i = 0; Has("bursts") && i < flowsheets_.size(); ++i) {
    codes.push_back({flowsheets_[i], "Bedside observation", {}});
  }
  if (Has("after_death")) {
    codes.push_back({std::string(kBilling), "Account closed", {}});
  }
  return codes;
}

void CorruptedRecords::Apply(LifeRecord* life) const {
  PhiloxStream random(seed_, kCorruptionPurpose, static_cast<std::uint64_t>(life->subject_id));
  if (Has("late_entry")) EnterLate(&random, life);
  if (Has("delayed_coding")) DelayDiagnoses(&random, life);
  if (Has("date_only")) DateDiagnosesAtMidnight(life);
  if (Has("bursts")) AddBursts(&random, life);
  if (Has("after_death")) AddAfterDeath(&random, life);
  if (Has("duplicates")) Duplicate(&random, life);
  if (Has("two_sites") && random.NextUniform() < 0.4) MoveToSiteB(life);
}

// The record begins at an age between 20 and 60; what was diagnosed before stands there as history.
void CorruptedRecords::EnterLate(PhiloxStream* random, LifeRecord* life) const {
  const double age_years = 20 + 40 * random->NextUniform();
  const std::int64_t entry = life->birth_us + std::llround(age_years * kMicrosecondsPerYear);
  std::vector<LifeEvent> kept;
  for (const LifeEvent& event : life->events) {
    for (const Translation& history : histories_) {
      if (event.time_us < entry && event.code == history.from) {
        kept.push_back({entry, history.to, MedsFileWriter::kNoValue});
      }
    }
  }
  const auto after = std::find_if(life->events.begin(), life->events.end(),
                                  [&](const LifeEvent& event) { return event.time_us >= entry; });
  if (after == life->events.end()) {
    kept.clear();  // gone before the record began
  }
  kept.insert(kept.end(), after, life->events.end());
  life->events = std::move(kept);
}

// Diagnoses are written down a month late on average, but never after the record's end.
void CorruptedRecords::DelayDiagnoses(PhiloxStream* random, LifeRecord* life) const {
  for (LifeEvent& event : life->events) {
    if (event.code.starts_with(kDiagnosis)) {
      const double delay =
          30 * random->NextExponential() * static_cast<double>(kMicrosecondsPerDay);
      event.time_us =
          std::min<std::int64_t>(event.time_us + std::llround(delay), life->events.back().time_us);
    }
  }
  SortByTime(life);
}

void CorruptedRecords::DateDiagnosesAtMidnight(LifeRecord* life) {
  for (LifeEvent& event : life->events) {
    if (event.code.starts_with(kDiagnosis)) {
      event.time_us = Midnight(event.time_us);
    }
  }
  SortByTime(life);
}

void CorruptedRecords::Duplicate(PhiloxStream* random, LifeRecord* life) {
  constexpr double kProbability = 0.03;
  std::vector<LifeEvent> doubled;
  for (const LifeEvent& event : life->events) {
    doubled.push_back(event);
    if (random->NextUniform() < kProbability) {
      doubled.push_back(event);
    }
  }
  life->events = std::move(doubled);
}

// Ward rounds come with 5 to 50 bedside observations at the same timestamp.
void CorruptedRecords::AddBursts(PhiloxStream* random, LifeRecord* life) const {
  std::vector<LifeEvent> bursts;
  for (const LifeEvent& event : life->events) {
    const int size =
        event.code == "INPATIENT//ROUND" ? 5 + static_cast<int>(46 * random->NextUniform()) : 0;
    for (int i = 0; i < size; ++i) {
      const auto which =
          static_cast<std::size_t>(random->NextUniform() * static_cast<double>(flowsheets_.size()));
      const auto value = static_cast<float>(10 * static_cast<double>(which) + random->NextNormal());
      bursts.push_back({event.time_us, flowsheets_[which], value});
    }
  }
  life->events.insert(life->events.end(), bursts.begin(), bursts.end());
  SortByTime(life);
}

// Every second death is followed by up to 20 entries of the next month.
void CorruptedRecords::AddAfterDeath(PhiloxStream* random, LifeRecord* life) const {
  if (life->events.empty() || life->events.back().code != "MEDS_DEATH" ||
      random->NextUniform() < 0.5) {
    return;
  }
  const std::int64_t death = life->events.back().time_us;
  const int entries = 1 + static_cast<int>(20 * random->NextUniform());
  for (int i = 0; i < entries; ++i) {
    const double days = 30 * random->NextUniform();
    life->events.push_back({death + std::llround(days * static_cast<double>(kMicrosecondsPerDay)),
                            kBilling, MedsFileWriter::kNoValue});
  }
  SortByTime(life);
}

void CorruptedRecords::MoveToSiteB(LifeRecord* life) const {
  for (LifeEvent& event : life->events) {
    for (const Translation& translation : site_b_) {
      if (event.code == translation.from) {
        event.code = translation.to;
        event.value = static_cast<float>((event.value + translation.offset) * translation.factor);
        break;
      }
    }
  }
}

}  // namespace sequela
