// Sizes for people; the same as the server's own.

export function size(bytes) {
  let count = bytes;
  for (const unit of ["B", "kB", "MB"]) {
    if (count < 1000) return unit === "B" || count >= 10 ? `${count.toFixed(0)} ${unit}` : `${count.toFixed(1)} ${unit}`;
    count /= 1000;
  }
  return `${count.toFixed(1)} GB`;
}
