// codes.json: the table that /chain/code indexes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "dataio/store/chain_store.h"

namespace sequela {

std::string CodesToJson(const std::vector<CodeEntry>& codes);

// Throws InputError naming the file and what is wrong with it.
std::vector<CodeEntry> CodesFromJson(std::string_view json, const std::filesystem::path& file,
                                     std::int32_t vocabulary_size);

}  // namespace sequela
