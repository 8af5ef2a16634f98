// When things happen in the made-up world: half an hour of history, then a task every few seconds.

import { answerTicket, payBill, Play, writeBrief } from "./script.ts";
import { random, World } from "./world.ts";

export interface Story {
  world: World;
  play: Play;
  chance: () => number;
  turns: number;
}

export function build(now: number): Story {
  const world = new World();
  const chance = random(20261124);
  const play = new Play(world, chance);
  const story: Story = { world, play, chance, turns: 0 };
  for (let turn = 0; turn < 60; turn += 1) task(story, now - (62 - turn) * 30_000, turn === 17, turn === 41);
  const garbage = ['{"tool": {"name": "send_money", "argume', "\u0000\u0001\u0002 not json \u00ff", "[".repeat(600)];
  for (const [index, text] of garbage.entries()) {
    world.emit("dead_letter", now - 500_000 + index * 1000, null, null, "Dead letter: malformed_json", Buffer.from(text, "latin1").toString("base64"));
  }
  return story;
}

function task(story: Story, start: number, hijacked: boolean, creeps: boolean): void {
  const { play, chance, turns } = story;
  story.turns += 1;
  const instance = 1 + (turns % 3);
  if (hijacked) payBill(play, chance, start, 2, true);
  else if (creeps || turns % 3 === 1) answerTicket(play, chance, start, instance, creeps);
  else if (turns % 7 === 2) writeBrief(play, start, ["heat pumps", "port congestion"][turns % 2] ?? "heat pumps");
  else payBill(play, chance, start, instance, false);
}

/** One more task, now; the fifth is hijacked. */
export function grow(story: Story, now: number): void {
  task(story, now - 2500, story.turns === 65, false);
}
