#include "trainer/evaluation/split_score.h"

#include <cmath>
#include <limits>

#include "trainer/evaluation/scoring/subject_sums.h"

namespace sequela {
namespace {

class SplitVisitor : public TargetVisitor {
 public:
  SplitVisitor(const ChainStore& store, Split split)
      : subjects_(store, split), sums_(subjects_.size(), columns_.count()) {}

  void BeginWindow(std::int64_t subject, const ChainView& /*chain*/) override {
    row_ = subjects_.row_of[static_cast<std::size_t>(subject)];
  }
  void Add(const ScoredTarget& target) override {
    sums_.Add(row_, targets_, 1.0);
    if (target.is_event()) sums_.Add(row_, events_, 1.0);
    if (target.target_rank == 0) sums_.Add(row_, top1_, 1.0);
    const bool is_score = SubjectSums::Holds(target.nll);
    sums_.Add(row_, is_score ? nll_ : non_finite_, is_score ? target.nll : 1.0);
  }
  SplitScore Total(Communicator& communicator) {
    sums_.AddOverRanks(communicator);
    const double targets = sums_.Total(targets_);
    const double events = sums_.Total(events_);
    const double nll = sums_.Total(non_finite_) == 0.0 ? sums_.Total(nll_)
                                                       : std::numeric_limits<double>::quiet_NaN();
    return {std::llround(targets), std::llround(events), nll / targets, nll / events,
            sums_.Total(top1_) / targets};
  }

 private:
  SplitSubjects subjects_;
  SumColumns columns_;
  SumColumn targets_ = columns_.Next();
  SumColumn events_ = columns_.Next();
  SumColumn nll_ = columns_.Next();
  SumColumn non_finite_ = columns_.Next();
  SumColumn top1_ = columns_.Next();
  SubjectSums sums_;
  std::int64_t row_ = 0;
};

}  // namespace

bool SplitHasTargets(const ChainStore& store, Split split) {
  const Vocabulary& vocabulary = store.vocabulary();
  for (std::int64_t subject = 0; subject < store.num_subjects(); ++subject) {
    if (store.split(subject) != split) continue;
    const ChainView chain = store.checked_chain(subject);
    for (std::int64_t i = 0; i < chain.size(); ++i) {
      if (IsTarget(vocabulary[chain.token(i)])) return true;
    }
  }
  return false;
}

SplitScore ScoreSplit(Decoder& decoder, FlatBuffers& buffers, Communicator& communicator,
                      const ChainStore& store, Split split, const EvaluationWindows& windows,
                      std::span<const float> log_weights) {
  SplitVisitor visitor(store, split);
  ScoreTargets(decoder, buffers, communicator, store, windows,
               {.log_class_weight = log_weights, .group_of_token = {}}, visitor);
  return visitor.Total(communicator);
}

}  // namespace sequela
