#include "runtime/staging.h"

#include "kernels/base/check.h"

namespace sequela {

Staging::Slot::Slot(Device& on, std::int64_t capacity_bytes)
    : host(Buffer::Pinned(capacity_bytes, on)),
      device(on.is_host() ? 0 : capacity_bytes, on),
      uploaded(on),
      released(on) {}

Staging::Staging(Device& device, std::int64_t capacity_bytes)
    : device_(device), slots_{Slot(device, capacity_bytes), Slot(device, capacity_bytes)} {
  // A device's memory is zeroed on its compute stream; the first upload must come after that.
  for (Slot& slot : slots_) slot.released.Record(device.compute_stream());
}

std::span<std::byte> Staging::Begin(int slot) {
  At(slot).uploaded.Wait();
  return At(slot).host.bytes();
}

void Staging::Upload(int slot, std::int64_t bytes) {
  Slot& s = At(slot);
  SEQUELA_CHECK(bytes >= 0 && bytes <= capacity_bytes(), "{} of {} bytes", bytes, capacity_bytes());
  if (device_.is_host()) return;
  s.released.MakeWait(device_.side_stream());
  device_.CopyOnSideStream(s.device.data(), s.host.data(), bytes);
  s.uploaded.Record(device_.side_stream());
}

std::byte* Staging::DeviceBlock(int slot) {
  Slot& s = At(slot);
  return device_.is_host() ? s.host.data() : s.device.data();
}

std::byte* Staging::Ready(int slot) {
  if (!device_.is_host()) At(slot).uploaded.MakeWait(device_.compute_stream());
  return DeviceBlock(slot);
}

void Staging::Release(int slot) { At(slot).released.Record(device_.compute_stream()); }

}  // namespace sequela
