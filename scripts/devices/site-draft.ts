import { isBroadcast } from '@twinwatch/core/config/agent';
import { checkDeviceTemplate } from '@twinwatch/core/config/device-template';
import type { TemplateTag } from '@twinwatch/core/config/template-tag';
import { Document, isSeq, YAMLMap } from 'yaml';

/** A site's buses, devices and tags as another program's file or a scan tells them, and the files that it becomes. Pure. */

export type DraftTag = Pick<TemplateTag, 'name' | 'register' | 'address' | 'type'> & {
  readonly [Field in 'unit' | 'byte_order' | 'scale' | 'offset' | 'bit' | 'bits' | 'length']?: TemplateTag[Field];
} & { readonly interval?: string /** What a person should know, as a comment behind it. */; readonly comment?: string };

export interface DraftDevice {
  readonly name: string;
  readonly unit: number;
  readonly tags: readonly DraftTag[];
}

export interface DraftBus {
  readonly url: string;
  readonly timeoutMs?: number;
  readonly delayMs?: number;
  readonly devices: readonly DraftDevice[];
}

export interface SiteDraft {
  readonly buses: readonly DraftBus[];
  /** What was not taken over, and what is to be looked at. */
  readonly notes: readonly string[];
}

export interface DraftedFiles {
  /** File name → content: agent.yaml and one template a device. */
  readonly files: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
  readonly tags: number;
  readonly devices: number;
}

/** @param origin what the draft was made from, for the first line of each file. */
export function draftFiles(draft: SiteDraft, origin: string): DraftedFiles {
  const notes = [...draft.notes];
  const files = new Map<string, string>();
  const deviceNames = new Set<string>();
  const tagNames = new Set<string>();
  let count = 0;
  const buses = mergedBuses(draft.buses).flatMap((bus) => {
    const devices = bus.devices.flatMap((device) => {
      if (!Number.isInteger(device.unit) || device.unit < 0 || device.unit > 255) {
        notes.push(`${device.name}: left out, ${device.unit} is no unit id`);
        return [];
      }
      if (isBroadcast(bus.url, device.unit)) {
        notes.push(`${device.name}: left out, unit 0 is broadcast on a serial line; find the device's own address`);
        return [];
      }
      const name = unused(asIdentifier(device.name), deviceNames);
      const tags = soundTags(name, distinctTags(name, device.tags, tagNames), notes);
      if (tags.length === 0) {
        notes.push(`${name}: none of its values can be read, so it is left out`);
        return [];
      }
      count += tags.length;
      files.set(`${name}.yaml`, templateText(tags, origin));
      return [{ name, unit: device.unit, template: `${name}.yaml` }];
    });
    return devices.length === 0 ? [] : [{ ...bus, ...withinBounds(bus), devices }];
  });
  files.set('agent.yaml', agentText(buses, origin));
  return { files, notes, tags: count, devices: files.size - 1 };
}

/** As an agent takes them; another program may allow more. */
function withinBounds({ timeoutMs, delayMs }: DraftBus): Pick<DraftBus, 'timeoutMs' | 'delayMs'> {
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs: Math.round(Math.min(60_000, Math.max(10, timeoutMs))) }),
    ...(delayMs === undefined ? {} : { delayMs: Math.round(Math.min(10_000, Math.max(0, delayMs))) }),
  };
}

/** Each bus once, each unit on it once. */
function mergedBuses(buses: readonly DraftBus[]): DraftBus[] {
  const merged = new Map<string, DraftBus>();
  for (const bus of buses) {
    const before = merged.get(bus.url);
    const devices = new Map((before?.devices ?? []).map((device) => [device.unit, device]));
    for (const device of bus.devices) {
      const same = devices.get(device.unit);
      devices.set(device.unit, same === undefined ? device : { ...same, tags: [...same.tags, ...device.tags] });
    }
    merged.set(bus.url, { ...bus, ...before, devices: [...devices.values()] });
  }
  return [...merged.values()];
}

/** A site has each tag once: one whose name is taken gets its device's before it. */
function distinctTags(device: string, tags: readonly DraftTag[], taken: Set<string>): DraftTag[] {
  return tags.map((tag) => {
    const name = asTagName(tag.name);
    return { ...tag, name: unused(taken.has(name) ? asTagName(`${device}_${name}`) : name, taken) };
  });
}

/** Without the tags that cannot be: each is named in the notes with the reason. */
function soundTags(device: string, tags: readonly DraftTag[], notes: string[]): DraftTag[] {
  let sound = [...tags];
  for (;;) {
    const { problems } = checkDeviceTemplate(templateText(sound, ''), device, device, {});
    const [first] = problems.flatMap(({ path, message }) => {
      const at = /^tags\[(\d+)\]/.exec(path)?.[1];
      return at === undefined ? [] : [{ at: Number(at), message }];
    });
    if (first === undefined || sound.length === 0) return sound;
    notes.push(`${device}: '${sound[first.at]?.name}' is left out: ${first.message}`);
    sound = sound.filter((_, i) => i !== first.at);
  }
}

function asIdentifier(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, 64) || 'device';
}

function asTagName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_.-]+/g, '_');
  return (/^[A-Za-z_]/.test(plain) ? plain : `T_${plain}`).slice(0, 64);
}

function unused(name: string, taken: Set<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name.slice(0, 60)}_${i}`;
  taken.add(free);
  return free;
}

function templateText(tags: readonly DraftTag[], origin: string): string {
  const document = new Document({ tags: tags.map(({ comment: _, ...tag }) => tag) });
  const list = document.get('tags');
  if (isSeq(list))
    for (const [i, node] of list.items.entries()) {
      if (!(node instanceof YAMLMap)) continue;
      node.flow = true;
      const { comment } = tags[i] ?? {};
      if (comment !== undefined) node.comment = ` ${comment}`;
    }
  return `# ${origin}\n${document.toString({ lineWidth: 0 })}`;
}

function agentText(buses: readonly object[], origin: string): string {
  const document = new Document({
    federation: 'my-federation',
    agent: 'my-site',
    broker: { url: 'mqtt://127.0.0.1:1883' },
    dataDir: 'data',
    interval: '1m',
    poll: { every: '1s' },
    buses,
  });
  return `# ${origin}. Look at the names, the broker and the interval of rows first; then try it: twinwatch agent --check --config agent.yaml\n${document.toString({ lineWidth: 0 })}`;
}
