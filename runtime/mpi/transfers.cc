#include "runtime/mpi/transfers.h"

#include <algorithm>
#include <utility>

#include "runtime/buffer.h"
#include "runtime/mpi/message_set.h"

namespace sequela {
namespace {

using Offsets = std::vector<std::int64_t>;

template <typename T>
std::span<T> Range(std::span<T> values, const Offsets& offsets, int index) {
  const auto i = static_cast<std::size_t>(index);
  return values.subspan(static_cast<std::size_t>(offsets[i]),
                        static_cast<std::size_t>(offsets[i + 1] - offsets[i]));
}

Offsets EvenOffsets(std::int64_t total, int parts) {
  Offsets offsets;
  for (int i = 0; i <= parts; ++i) offsets.push_back(total * i / parts);
  return offsets;
}

Offsets Times(Offsets offsets, std::int64_t factor) {
  for (std::int64_t& offset : offsets) offset *= factor;
  return offsets;
}

// sum += values, element by element.
void AddTo(std::span<float> sum, std::span<const float> values) {
  float* const s = sum.data();
  const float* const v = values.data();
  const std::size_t n = sum.size();
#pragma omp simd
  for (std::size_t i = 0; i < n; ++i) s[i] += v[i];
}

// The first half of a reduction: every rank receives its own range from all the others and adds
// them up in the order of ranks.
class ScatterPhase {
 public:
  ScatterPhase(const TransferPlace& place, std::span<float> values, Offsets offsets)
      : rank_(place.rank),
        size_(place.size),
        values_(values),
        offsets_(std::move(offsets)),
        messages_(place.comm, place.first_tag) {}

  void Start() {
    received_ = Buffer(static_cast<std::int64_t>(Own().size_bytes()) * size_);
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_) messages_.Receive(std::as_writable_bytes(From(peer)), peer);
    }
    // Beginning with the next rank, so that not all send to rank 0 first.
    for (int i = 1; i < size_; ++i) {
      const int peer = (rank_ + i) % size_;
      messages_.Send(std::as_bytes(Range(values_, offsets_, peer)), peer);
    }
  }

  bool Advance() {
    if (!messages_.Test()) return false;
    AddInOrder();
    received_ = Buffer();
    return true;
  }

  const MessageSet& messages() const { return messages_; }

 private:
  std::span<float> Own() { return Range(values_, offsets_, rank_); }
  std::span<float> From(int peer) {
    const std::size_t count = Own().size();
    return received_.As<float>().subspan(static_cast<std::size_t>(peer) * count, count);
  }

  void AddInOrder() {
    const std::span<float> own = Own();
    const std::span<float> sum = rank_ == 0 ? own : From(0);
    for (int peer = 1; peer < size_; ++peer) AddTo(sum, peer == rank_ ? own : From(peer));
    if (rank_ != 0) std::copy(sum.begin(), sum.end(), own.begin());
  }

  int rank_;
  int size_;
  std::span<float> values_;
  Offsets offsets_;
  MessageSet messages_;
  Buffer received_;  // [ranks, own range]; the row of this rank is not used
};

// Every rank sends its range to all the others.
class GatherPhase {
 public:
  GatherPhase(const TransferPlace& place, int tag, std::span<std::byte> bytes, Offsets offsets)
      : rank_(place.rank),
        size_(place.size),
        bytes_(bytes),
        offsets_(std::move(offsets)),
        messages_(place.comm, tag) {}

  void Start() {
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != rank_) messages_.Receive(Range(bytes_, offsets_, peer), peer);
    }
    for (int i = 1; i < size_; ++i) {
      messages_.Send(Range(bytes_, offsets_, rank_), (rank_ + i) % size_);
    }
  }
  bool Advance() { return messages_.Test(); }
  const MessageSet& messages() const { return messages_; }

 private:
  int rank_;
  int size_;
  std::span<std::byte> bytes_;
  Offsets offsets_;
  MessageSet messages_;
};

class ReduceScatter : public Transfer {
 public:
  ReduceScatter(const TransferPlace& place, std::span<float> values, Offsets offsets)
      : Transfer("reduce-scatter", place), scatter_(place, values, std::move(offsets)) {}
  void Start() override { scatter_.Start(); }
  bool Advance() override { return scatter_.Advance(); }
  std::vector<int> UnfinishedPeers() const override {
    return scatter_.messages().UnfinishedPeers();
  }

 private:
  ScatterPhase scatter_;
};

class AllReduce : public Transfer {
 public:
  AllReduce(const TransferPlace& place, std::span<float> values, const Offsets& offsets)
      : Transfer("all-reduce", place),
        scatter_(place, values, offsets),
        gather_(place, place.first_tag + 1, std::as_writable_bytes(values),
                Times(offsets, sizeof(float))) {}
  void Start() override { scatter_.Start(); }
  // What the gathering receives into is what the scattering sends: the one begins when the other is
  // over.
  bool Advance() override {
    if (!gathering_) {
      if (!scatter_.Advance()) return false;
      gathering_ = true;
      gather_.Start();
    }
    return gather_.Advance();
  }
  std::vector<int> UnfinishedPeers() const override {
    return (gathering_ ? gather_.messages() : scatter_.messages()).UnfinishedPeers();
  }

 private:
  ScatterPhase scatter_;
  GatherPhase gather_;
  bool gathering_ = false;
};

class AllGather : public Transfer {
 public:
  AllGather(std::string_view name, const TransferPlace& place, std::span<std::byte> bytes,
            Offsets offsets)
      : Transfer(name, place), gather_(place, place.first_tag, bytes, std::move(offsets)) {}
  void Start() override { gather_.Start(); }
  bool Advance() override { return gather_.Advance(); }
  std::vector<int> UnfinishedPeers() const override { return gather_.messages().UnfinishedPeers(); }

 private:
  GatherPhase gather_;
};

class Broadcast : public Transfer {
 public:
  Broadcast(const TransferPlace& place, std::span<std::byte> bytes, int root)
      : Transfer("broadcast", place),
        bytes_(bytes),
        root_(root),
        messages_(place.comm, place.first_tag) {}
  void Start() override {
    if (place_.rank != root_) {
      messages_.Receive(bytes_, root_);
      return;
    }
    for (int peer = 0; peer < place_.size; ++peer) {
      if (peer != root_) messages_.Send(bytes_, peer);
    }
  }
  bool Advance() override { return messages_.Test(); }
  std::vector<int> UnfinishedPeers() const override { return messages_.UnfinishedPeers(); }

 private:
  std::span<std::byte> bytes_;
  int root_;
  MessageSet messages_;
};

// One byte from every rank to every other: it also tells who is missing.
class Barrier : public Transfer {
 public:
  explicit Barrier(const TransferPlace& place)
      : Transfer("barrier", place),
        bytes_(static_cast<std::size_t>(place.size)),
        gather_(place, place.first_tag, bytes_, EvenOffsets(place.size, place.size)) {}
  void Start() override { gather_.Start(); }
  bool Advance() override { return gather_.Advance(); }
  std::vector<int> UnfinishedPeers() const override { return gather_.messages().UnfinishedPeers(); }

 private:
  std::vector<std::byte> bytes_;
  GatherPhase gather_;
};

}  // namespace

std::unique_ptr<Transfer> MakeReduceScatter(const TransferPlace& place, std::span<float> values,
                                            std::vector<std::int64_t> offsets) {
  return std::make_unique<ReduceScatter>(place, values, std::move(offsets));
}

std::unique_ptr<Transfer> MakeAllReduce(const TransferPlace& place, std::span<float> values) {
  return std::make_unique<AllReduce>(place, values, EvenOffsets(std::ssize(values), place.size));
}

std::unique_ptr<Transfer> MakeAllGather(std::string_view name, const TransferPlace& place,
                                        std::span<std::byte> bytes,
                                        std::vector<std::int64_t> offsets) {
  return std::make_unique<AllGather>(name, place, bytes, std::move(offsets));
}

std::unique_ptr<Transfer> MakeBroadcast(const TransferPlace& place, std::span<std::byte> bytes,
                                        int root) {
  return std::make_unique<Broadcast>(place, bytes, root);
}

std::unique_ptr<Transfer> MakeBarrier(const TransferPlace& place) {
  return std::make_unique<Barrier>(place);
}

}  // namespace sequela
