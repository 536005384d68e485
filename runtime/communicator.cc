#include "runtime/communicator.h"

#include <algorithm>

namespace sequela {
namespace {

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace

std::string Communicator::BroadcastText(std::string text, int root) {
  std::int64_t size = std::ssize(text);
  Broadcast(std::as_writable_bytes(std::span(&size, 1)), root);
  text.resize(static_cast<std::size_t>(size));
  Broadcast(std::as_writable_bytes(std::span(text.data(), text.size())), root);
  return text;
}

std::vector<std::string> Communicator::AllGatherText(std::string_view mine) {
  std::vector<std::string> texts;
  for (const std::vector<std::byte>& bytes : AllGather(AsBytes(mine))) {
    texts.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return texts;
}

}  // namespace sequela
