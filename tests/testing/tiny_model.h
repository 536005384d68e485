// Tiny models and made-up batches for tests of the model.
#pragma once

#include <cstdint>
#include <vector>

#include "dataio/loader/batch.h"
#include "runtime/parameter_table.h"
#include "trainer/model/model_config.h"

namespace sequela::testing {

// Two layers, hidden 32, 4 heads over 2 key heads of 8, vocabulary 37, index positions.
ModelConfig TinyLlama();
ModelConfig TinyTiedLlamaWithBiases();  // attention and MLP biases; as many key heads as heads
ModelConfig TinyQwen2();                // one key head
ModelConfig TinyQwen3();                // head_dim * heads != hidden; tied
ModelConfig TinyTimed();                // half of the pairs turn with real time

// Documents of these lengths: random tokens, times minutes to months apart, weights of 0.5 to 1.5;
// about one row in five has no target, nor has a document's last. The content of a document is a
// function of (seed, its sample); samples count from `first_sample`.
Batch MakeBatch(const ModelConfig& config, const std::vector<int>& lengths, std::uint64_t seed = 1,
                std::int64_t first_sample = 100);
// One document of a batch as a batch, and several batches as one.
Batch OneDocument(const Batch& batch, std::int64_t document);
Batch Joined(const std::vector<Batch>& batches);

// Large, uneven weights (gains and biases too), so that every part of the model matters.
void FillWeights(const ModelConfig& config, FlatBuffers& buffers, std::uint64_t seed = 1);

// The values of a parameter as the decoder reads them.
std::vector<float> PieceValues(FlatBuffers& buffers, int piece);

}  // namespace sequela::testing
