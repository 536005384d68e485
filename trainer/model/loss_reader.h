// Brings the losses of batches from the device to the host, in order, without making the device
// wait. One thread at a time.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "dataio/loader/batch.h"
#include "kernels/base/tensor_view.h"
#include "runtime/buffer.h"
#include "runtime/device.h"
#include "trainer/model/decoder.h"

namespace sequela {

class LossReader {
 public:
  // Of batches of at most `max_tokens`. Borrows the device.
  LossReader(Device& device, std::int64_t max_tokens) : device_(device), max_tokens_(max_tokens) {}

  // The rows' nll [T] stand in `nll` once the device has come so far. `batch` must live until its
  // loss was taken.
  void Add(const Batch& batch, ConstTensorView nll);
  // Of the oldest batch; waits for it. REQUIRES: there is one.
  BatchLoss Take();

 private:
  struct Pending {
    const Batch* batch;
    std::size_t slot;
  };
  // A pinned copy of one batch's nll, and when it is whole.
  struct Slot {
    Buffer nll;
    Event copied;
  };

  Device& device_;
  std::int64_t max_tokens_;
  std::vector<Slot> slots_;  // as many as ever waited at once; the first steps allocate them
  std::vector<std::size_t> free_slots_;
  std::deque<Pending> pending_;
};

// Sum over the rows with a target, row by row in fp64: the sum hardly depends on the order of the
// documents. nll: [T], on the host.
BatchLoss SumLoss(const Batch& batch, std::span<const float> nll);

}  // namespace sequela
