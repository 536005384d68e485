// The text of trainer/model/modeling_sequela.py, which checkpoints with time positions carry.
#pragma once

#include <string_view>

namespace sequela {

extern const std::string_view kModelingSource;

}  // namespace sequela
