#include "launch/start_world.h"

#include "runtime/log.h"

namespace sequela {

World& StartWorld() {
  World& world = World::Start();
  InitializeLog(world.rank(), world.size(), LogLevel::kInfo);
  return world;
}

}  // namespace sequela
