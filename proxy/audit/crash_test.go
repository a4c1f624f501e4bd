package audit

const writerDirEnv = "WINNOW_AUDIT_TEST_WRITER"

func writeUntilKilled(string) int { return 0 }
