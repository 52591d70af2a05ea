// What a drone may be doing: in the order of the numbers that drones send.

export const STATUSES = [
  { key: "departed", name: "Departed station" },
  { key: "flying", name: "In flight" },
  { key: "picked", name: "Picked up package" },
  { key: "dropped", name: "Dropped off package" },
  { key: "arrived", name: "Arrived at station" },
];

/** A drone that has reported its condition only. */
export const UNKNOWN = { key: "unknown", name: "No flight reported" };

export const IN_FLIGHT = 1;

export const statusOf = (drone) => STATUSES[drone.status] ?? UNKNOWN;
