// One chain as a clinician would want to read it.
#pragma once

#include <cstdint>
#include <string>

#include "dataio/store/chain_store.h"

namespace sequela {

// Age, time since the first timed event, hospital stays, codes with descriptions, values with
// units; lines of at most 80 columns. REQUIRES: 0 <= subject_index < store.num_subjects().
// Throws InputError where a token or a code of the chain is outside of its table.
std::string ReadableChain(const ChainStore& store, std::int64_t subject_index);

}  // namespace sequela
