#include "dataio/ingest/writing/shared_folder.h"

#include "kernels/base/errors.h"

namespace sequela {

SharedFolder::SharedFolder(const std::filesystem::path& out, const Ranks& ranks)
    : ranks_(ranks), path_(PartialFolder::NameFor(out)) {
  const std::string refusal = ranks.Exchange(ranks.index == 0 ? Make(out) : "").front();
  if (!refusal.empty()) throw InputError(refusal);
  work_name_ = ranks.Exchange(mine_ ? mine_->work_name() : "").front();
}

void SharedFolder::Commit() {
  ranks_.Exchange("");
  if (mine_) mine_->Commit();
  ranks_.Exchange("");
}

std::string SharedFolder::Make(const std::filesystem::path& out) {
  try {
    mine_.emplace(out);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace sequela
