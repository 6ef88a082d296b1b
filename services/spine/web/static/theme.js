// Before the first paint: what somebody chose with the button, else what the system says.
try {
  const chosen = localStorage.getItem("spine-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing follows the system */ }
