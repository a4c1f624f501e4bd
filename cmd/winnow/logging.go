package main

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/winnow-registry/winnow/configs"
)

// logFlush is how long a line may stand in memory. The log is for people and dashboards; what must survive a crash is
// in the audit record.
const logFlush = 200 * time.Millisecond

// newLogger returns the program's logger, and what writes its last lines. Lines that distribution writes through
// logrus go the same way.
func newLogger(w io.Writer, c configs.Log) (*zap.Logger, func(), error) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, nil, err
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == "console" {
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	out := &zapcore.BufferedWriteSyncer{WS: zapcore.AddSync(w), FlushInterval: logFlush}
	log := zap.New(zapcore.NewCore(encoder, out, level), zap.AddStacktrace(zapcore.PanicLevel))
	carryLogrus(log)
	return log, func() { _ = out.Stop() }, nil // stderr may be closed; nobody could be told
}

// carryLogrus carries distribution's lines over. Its drivers log what they also return: warnings and worse only.
func carryLogrus(log *zap.Logger) {
	std := logrus.StandardLogger()
	std.SetOutput(io.Discard)
	std.SetLevel(logrus.WarnLevel)
	std.ReplaceHooks(logrus.LevelHooks{})
	std.AddHook(logrusHook{log.Named("distribution")})
}

type logrusHook struct{ log *zap.Logger }

func (logrusHook) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

func (h logrusHook) Fire(e *logrus.Entry) error {
	level := zap.ErrorLevel
	if e.Level == logrus.WarnLevel {
		level = zap.WarnLevel
	}
	fields := make([]zap.Field, 0, len(e.Data))
	for k, v := range e.Data {
		fields = append(fields, zap.Any(k, v))
	}
	h.log.Log(level, e.Message, fields...)
	return nil
}
