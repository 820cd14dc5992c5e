export interface DoctorFlags {
  json: boolean;
}
