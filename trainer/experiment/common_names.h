// What other trainers call the fields of an experiment, for the message about an unknown key.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sequela {

struct CommonNames {
  std::string_view field;  // the path of a field, or a section
  std::string_view names;  // of its key elsewhere, parted by spaces
};
std::span<const CommonNames> AllCommonNames();

// The field that the last part of `path` means elsewhere ("optimizer.lr", "n_layer", "nLayers"), or
// an empty text. Case and the signs - and _ do not matter.
std::string_view FieldOfCommonName(std::string_view path);

// "unknown key; here it is called model.num_hidden_layers. Keys of model: ...".
std::string UnknownKeyAdvice(std::string_view path);

}  // namespace sequela
