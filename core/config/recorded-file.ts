import { z } from 'zod';

/** How a historian's CSV is read: fields that every file which names one has, named alike. */
export const recordedFileFields = {
  timeColumn: z
    .string()
    .optional()
    .meta({ description: 'column of times; DATETIME, timestamp, time or date where absent' }),
  dateOrder: z
    .enum(['auto', 'dmy', 'mdy', 'ymd'])
    .default('auto')
    .meta({ description: 'order of day, month and year where times are not ISO 8601 or seconds since 1970' }),
  columns: z
    .record(z.string(), z.string())
    .default({})
    .meta({ description: 'tag → column, for columns that are called otherwise than their tag' }),
  delimiter: z.string().length(1).default(',').meta({ description: 'between two columns' }),
};
