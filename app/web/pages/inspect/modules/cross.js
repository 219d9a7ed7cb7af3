// A pin without a mouse: a cross over the picture, which the arrow keys move.
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.02; // of the picture; with Shift five times as far
const within = (value) => Math.min(Math.max(value, 0), 1);

export const cross = {
  aim(at = this.cross ? null : { x: 0.5, y: 0.5 }) {
    if (at && !(this.canPin() && this.stage.picture)) return false;
    this.cross = at;
    this.armed = "";
    this.stage.cross(at);
    this.drawSide();
    this.drawFoot();
    return true;
  },

  // What a key does while the cross is there; verdicts wait until it is gone.
  aimed({ key, shiftKey }) {
    const { x, y } = this.cross;
    if (key === "Escape" || key.toLowerCase() === "i") return this.aim(null);
    if (key === "Enter") {
      this.aim(null);
      this.ask(x, y, this.stage.partAt(x, y));
      return true;
    }
    if (!MOVES[key]) return false;
    const [right, down] = MOVES[key].map((way) => way * STEP * (shiftKey ? 5 : 1));
    return this.aim({ x: within(x + right), y: within(y + down) });
  },
};
