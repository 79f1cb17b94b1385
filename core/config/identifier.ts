import { z } from 'zod';

/** A name that is part of MQTT topics and file names: of a federation, an agent, a device, a site. */
export const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'must be 1–64 letters, digits, _ or -' });
