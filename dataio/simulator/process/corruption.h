// What real records do and the simulated process does not: applied to a life's record after it was
// drawn. (Testing that depends on the state is part of the process itself, and covered by the
// oracle.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataio/meds/meds_writer.h"
#include "dataio/simulator/simulator.h"

namespace sequela {

// Immutable after construction; safe for concurrent use.
class CorruptedRecords {
 public:
  // `options`: names of CorruptionOptions(). Throws InputError naming an unknown one.
  CorruptedRecords(const ProcessParameters& parameters, std::uint64_t seed,
                   const std::vector<std::string>& options);
  // A function of (seed, subject, the kind record) alone. Codes of the result live as long as this.
  void Apply(LifeRecord* life) const;
  std::vector<MedsCode> codes() const;  // that the process does not have

 private:
  // What site B writes in place of a code: another text, and another unit.
  struct Translation {
    std::string from;
    std::string to;
    std::string description;
    double factor = 1;
    double offset = 0;  // added before the factor
  };

  bool Has(const char* option) const;
  void TranslateCodes(const ProcessParameters& parameters);
  void EnterLate(PhiloxStream* random, LifeRecord* life) const;
  void DelayDiagnoses(PhiloxStream* random, LifeRecord* life) const;
  static void DateDiagnosesAtMidnight(LifeRecord* life);
  static void Duplicate(PhiloxStream* random, LifeRecord* life);
  void AddBursts(PhiloxStream* random, LifeRecord* life) const;
  void AddAfterDeath(PhiloxStream* random, LifeRecord* life) const;
  void MoveToSiteB(LifeRecord* life) const;

  std::uint64_t seed_;
  std::vector<std::string> options_;
  std::vector<Translation> histories_;  // DIAGNOSIS//X -> HISTORY//X
  std::vector<Translation> site_b_;
  std::vector<std::string> flowsheets_;
};

}  // namespace sequela
