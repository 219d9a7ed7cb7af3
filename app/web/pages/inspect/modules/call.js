// One of the page's named events.
export async function call(name, ...data) {
  let answer;
  try {
    answer = await fetch(`gradio_api/run/inspect_${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ data }),
    });
  } catch {
    throw new Error("The app does not answer. Nothing was saved; try it again.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told.data[0];
  const signedOut = "You are signed out. Load the page again; what was saved is there.";
  throw new Error(answer.status === 401 ? signedOut : told.error || "The app made a mistake; its log says more.");
}
