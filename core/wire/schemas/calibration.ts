import { type ZodType, z } from 'zod';
import { HOURS_PER_DAY, HOURS_PER_WEEK, type ProfileRequest, type SiteProfile } from '../../calibration/profile.js';
import type { CalibrateTask, Calibration } from '../messages.js';
import { count, hash, name } from './fields.js';
import { featureSchema } from './lineage.js';

/** What agents tell of their rows before the first round. */

const MAXIMUM_BALANCES = 64;

const balanceTerms = z.array(z.object({ tag: name, coefficient: z.number() })).max(1024);

const profileRequest: ZodType<ProfileRequest> = z.object({
  originMs: z.number(),
  balances: z.array(z.object({ name, flows: balanceTerms, storages: balanceTerms })).max(MAXIMUM_BALANCES),
});

const week = z.array(z.number()).length(HOURS_PER_WEEK);

const covariance = z.number();

const siteProfile: ZodType<SiteProfile> = z
  .object({
    tags: z
      .array(
        z.object({
          tag: name,
          hourly: z.array(z.number().nullable()).length(HOURS_PER_DAY),
          dutyCycle: z.number().min(0).max(1),
          startsPerDay: z.number().min(0),
        }),
      )
      .max(4096),
    balances: z
      .array(
        z.object({
          name,
          hours: week,
          weights: z.array(z.number().min(0)).length(HOURS_PER_WEEK),
          variance: z.number().min(0),
          autocovariance: z.object({
            same: covariance,
            nextInterval: covariance,
            twoHours: covariance,
            halfDay: covariance,
          }),
          season: z.object({ cos: z.number(), sin: z.number() }).nullable(),
        }),
      )
      .max(MAXIMUM_BALANCES),
    days: count,
    dayCovariance: z.array(covariance).max(MAXIMUM_BALANCES ** 2),
  })
  .refine(({ balances, dayCovariance }) => dayCovariance.length === balances.length ** 2, {
    path: ['dayCovariance'],
    message: 'must be as many numbers as balances squared',
  });

export const calibration: ZodType<Calibration> = z
  .object({
    kind: z.literal('calibration'),
    schemaHash: hash,
    moments: z.object({ count, mean: z.array(z.number()).max(16384), m2: z.array(z.number().min(0)).max(16384) }),
    profile: siteProfile.optional(),
  })
  .refine((message) => message.moments.mean.length === message.moments.m2.length, {
    path: ['moments', 'm2'],
    message: 'must be as long as moments.mean',
  });

export const calibrate: ZodType<CalibrateTask> = z.object({
  kind: z.literal('calibrate'),
  schema: featureSchema,
  schemaHash: hash,
  minimumRows: count,
  profile: profileRequest.optional(),
});
